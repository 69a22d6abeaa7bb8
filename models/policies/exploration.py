"""Which list is shown instead of the best one, and with which chance does each item stand there?

With a chance of `share` a list is *explored*: drawn as a whole by Plackett and Luce's rule, so that
every candidate may stand at every place. The coin and the noise come from a hash of what caused the
list, so that a replay draws the same one. An item's propensity is its chance over both, coin and
draw, which is why every list has them and not the explored ones alone (docs/adr/0017).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from models.checks import require
from models.policies.listed_chances import listed_chances
from models.ranking import best_first, diversify

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST: Final = 1e-12
"""No propensity is less: an event takes none of 0, and what is as unlikely is not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationConfig:
    """How much of what is shown is drawn.

    Attributes:
        share: Of lists, and so of places.
        temperature: Of the draw: odds are exp(score / temperature); the head `click` scores by a
            chance, of which the logarithm counts.
        depth: Drawn are so many of the best candidates, but never fewer than a list holds.
    """

    share: float = 0.0
    temperature: float = 1.0
    depth: int = 100

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn by.

        Raises:
            ValueError: Naming every bad value.
        """
        require(
            (0 <= self.share <= 1, "share from 0 to 1"),
            (0.01 <= self.temperature <= 1000, "temperature from 0.01 to 1000"),
            (self.depth >= 1, "depth at least 1"),
        )


class Seed(NamedTuple):
    """What decides a list's draw: two numbers of 64 bits."""

    coin: int
    noise: int


def seed_of(user_id: str, event_id: str) -> Seed:
    """The same for every replay.

    Args:
        user_id: Whose list.
        event_id: Of the event that caused it.
    """
    digest = blake2b(f"{user_id}\0{event_id}".encode(), digest_size=16).digest()
    return Seed(int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"))


class Ordered(NamedTuple):
    """A list of L places.

    Attributes:
        order: int64[L], as indices into the candidates.
        propensities: float64[L], of each item at its place; None where nothing is ever drawn.
        is_explored: Whether it was drawn.
    """

    order: NDArray[np.int64]
    propensities: NDArray[np.float64] | None
    is_explored: bool


class Slate(NamedTuple):
    """What a list is made of, N candidates.

    Attributes:
        scores: float64[N].
        categories: int[N].
        cap: Most of one category in a list, as far as the others fill it; 0 for no cap.
        num: Places of the list.
    """

    scores: NDArray[np.float64]
    categories: NDArray[np.integer]
    cap: int
    num: int


def best_list(slate: Slate) -> Ordered:
    """The best first, where nothing is ever drawn."""
    return Ordered(_best(slate, slate.num), None, is_explored=False)


def ordered(
    slate: Slate,
    logits: NDArray[np.float64],
    keys: NDArray[np.uint64],
    config: ExplorationConfig,
    seed: Seed,
) -> Ordered:
    """The best list or, now and then, a drawn one.

    Args:
        slate: The candidates.
        logits: float64[N], log-odds of the draw before the temperature; they fall as scores fall.
        keys: uint64[N], by which noise is told.
        config: How much is drawn.
        seed: Of this list.
    """
    pool = _best(slate, max(config.depth, slate.num))
    best = pool[: slate.num]
    drawn_from = logits[pool] / config.temperature
    categories = slate.categories[pool]
    place_in_pool = np.arange(len(best))
    is_explored = seed.coin < config.share * 2.0**64
    if is_explored:
        noisy = best_first(drawn_from + gumbel_noise(seed.noise, keys[pool]))
        place_in_pool = diversify(noisy, categories, slate.cap, slate.num)
    propensities = config.share * listed_chances(
        drawn_from,
        place_in_pool,
        categories,
        slate.cap,
        num_deep=_num_deep(drawn_from, len(best)),
    )
    propensities[place_in_pool == np.arange(len(best))] += 1.0 - config.share
    return Ordered(pool[place_in_pool], np.clip(propensities, _LEAST, 1.0), is_explored)


def gumbel_noise(seed: int, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Noise of the standard Gumbel distribution, the same for an item whatever is beside it.

    The bits are those of splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
    Generators", 2014), which no release of a library changes.
    """
    mixed = keys ^ np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    uniform = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


def _best(slate: Slate, num: int) -> NDArray[np.int64]:
    return diversify(best_first(slate.scores), slate.categories, slate.cap, num)


def _num_deep(logits: NDArray[np.float64], num: int) -> int:
    """How many of the best by score it takes to find the first `num` of the pool."""
    ranks = np.empty(len(logits), np.int64)
    ranks[best_first(logits)] = np.arange(len(logits))
    return int(ranks[:num].max(initial=-1)) + 1
