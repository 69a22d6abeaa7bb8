"""What do learned factors say of a user's sequence? Nothing is learned here.

The model is the CP form (Carroll and Chang 1970, "canonical decomposition") of a tensor of users by
items by contexts,

    x(u, i, c) = bias_i + sum over d of user_ud item_id prod over m of context_{m, c_m, d},

which without contexts is a matrix factorisation. What is learned are items, biases and contexts.
A user is their sequence: beginning with the factors of nobody, each action in turn moves the
user's factors by one step of BPR (Rendle et al. 2009, section 4.2) on the highest scored of a few
drawn items that the sequence does not hold; item factors stand still.

Shape letters: B sequences, S actions of a sequence, N items, D factors, M contexts, C rows of
contexts, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEP: Final = 0x9E3779B97F4A7C15
_FOLD_IN_STREAM: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldIn:
    """How a sequence becomes a user's factors.

    Attributes:
        rate: Step size. Large against training's, because a sequence is read once.
        regularisation: Pull of each step towards nobody's factors; it is what forgets.
        num_candidates: Items drawn for each step, K; the highest scored is ranked below.
        num_recent: Actions that are read, the newest.
    """

    rate: float = 1.0
    regularisation: float = 0.1
    num_candidates: int = 32
    num_recent: int = 50

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            ValueError: Naming the setting.
        """
        for name in ("rate", "num_candidates", "num_recent"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected more than 0")
        refuse_overshooting(self.regularisation, self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """Learned factors, float32; views of where they are learned, so they are never changed here.

    Attributes:
        item_ND: Of items.
        bias_N: Of items.
        context_CD: Of contexts: one context's values after the other's, and 1 of what is untold.
    """

    item_ND: NDArray[np.float32]
    bias_N: NDArray[np.float32]
    context_CD: NDArray[np.float32]

    def scores(
        self, user_BD: NDArray[np.float32], context_BM: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return x of every item, `[B, N]`.

        Args:
            user_BD: Of users.
            context_BM: Rows of `context_CD`; M may be 0.
        """
        scores_BN: NDArray[np.float32] = self.queries(user_BD, context_BM) @ self.item_ND.T
        return scores_BN + self.bias_N

    def queries(
        self, user_BD: NDArray[np.float32], context_BM: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return what the item factors are multiplied with, `[B, D]`."""
        queries_BD: NDArray[np.float32] = user_BD * self.context_CD[context_BM].prod(1)
        return queries_BD

    def fold_in(
        self,
        item_BS: NDArray[np.int64],
        context_BSM: NDArray[np.int64],
        config: FoldIn,
        *,
        start: float,
        seed: int,
    ) -> NDArray[np.float32]:
        """Return the users' factors, `[B, D]`: a function of each sequence alone.

        Args:
            item_BS: Oldest first and aligned at the end; negative codes are no action.
            context_BSM: Rows of `context_CD`, of each action; any valid row where there is none.
            config: How; its `num_recent` is the caller's to heed.
            start: Every factor of nobody.
            seed: Of the draws.
        """
        num_sequences, num_places = item_BS.shape
        user_BD = np.full((num_sequences, self.item_ND.shape[1]), start, np.float32)
        if not len(self.item_ND):
            return user_BD
        for place in range(num_places):
            # Draws are numbered from the newest action, whatever the longest sequence of the batch.
            numbers_K = np.arange(config.num_candidates) + (
                (num_places - 1 - place) * config.num_candidates
            )
            drawn_K = draws(seed, _FOLD_IN_STREAM, numbers_K, len(self.item_ND))
            acting = np.flatnonzero(item_BS[:, place] >= 0)
            acting_BD = user_BD[acting]
            ascent_BD = self._ascent(
                acting_BD, item_BS[acting], place, context_BSM[acting, place], drawn_K
            )
            pull_back_BD = config.regularisation * (acting_BD - start)
            user_BD[acting] = acting_BD + config.rate * (ascent_BD - pull_back_BD)
        return user_BD

    def _ascent(
        self,
        user_BD: NDArray[np.float32],
        item_BS: NDArray[np.int64],
        place: int,
        context_BM: NDArray[np.int64],
        drawn_K: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return the gradient of ln sigma by the users' factors."""
        context_BD = self.context_CD[context_BM].prod(1)
        query_BD = user_BD * context_BD
        scores_BK = query_BD @ self.item_ND[drawn_K].T + self.bias_N[drawn_K]
        seen_BK = (item_BS[:, :, None] == drawn_K).any(1)
        scores_BK[seen_BK] = -np.inf
        below_B, above_B = drawn_K[scores_BK.argmax(1)], item_BS[:, place]
        difference_BD = self.item_ND[above_B] - self.item_ND[below_B]
        margin_B = (query_BD * difference_BD).sum(1) + self.bias_N[above_B] - self.bias_N[below_B]
        # Where all that was drawn has been seen there is nothing to rank below.
        pull_B = np.where(seen_BK.all(1), 0, unsureness(margin_B)).astype(np.float32)
        pulled_BD: NDArray[np.float32] = pull_B[:, None] * difference_BD * context_BD
        return pulled_BD


def refuse_overshooting(regularisation: float, rate: float) -> None:
    """Refuse a pull that takes more than all of a factor in one step.

    Raises:
        ValueError: Naming the setting.
    """
    if not 0 <= regularisation * rate < 1:
        raise ValueError(
            f"regularisation: found {regularisation}, expected 0 to below 1 / rate, {1 / rate}: "
            "a step must not take more than all of a factor"
        )


def unsureness(margin_B: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sigma(-margin), by which BPR weighs a pair; never overflows.

    >>> unsureness(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    weight_B: NDArray[np.float32] = np.exp(-np.logaddexp(0, margin_B))
    return weight_B


def draws(seed: int, stream: int, number_Z: NDArray[np.int64], below: int) -> NDArray[np.int64]:
    """Return a draw from `range(below)` for each number: the same on every machine and for ever.

    splitmix64 (Steele, Lea and Flood 2014) of the number, since a log read twice must draw alike.

    Args:
        seed: Chosen by whoever configures.
        stream: Keeps apart what is drawn for different purposes.
        number_Z: Of the draws.
        below: How many outcomes there are, at most 2^32.
    """
    return (uniform(seed, stream, number_Z) * below).astype(np.int64)


def uniform(seed: int, stream: int, number_Z: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a draw from [0, 1) for each number; see `draws`."""
    origin = np.uint64(((seed * 8 + stream + 1) * 0xD1342543DE82EF95) % 2**64)
    bits = number_Z.astype(np.uint64) * np.uint64(_STEP) + origin
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    drawn_Z: NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn_Z
