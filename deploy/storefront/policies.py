"""Which list does a shopper get? The plain policies of the application, and the oracle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from deploy.storefront.world import MINUTE_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.storefront.behaviour import Behaviour
    from deploy.storefront.settings import Settings
    from deploy.storefront.world import World

# The application sorts its popularity list anew this often.
_REFRESH_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A list as it is shown: item numbers in order, each with the chance that it stands there."""

    list_id: str
    items: NDArray[np.int64]
    propensities: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A page asks for a list.

    Attributes:
        user_id: the id under which the application knows the shopper.
        shopper: the shopper's number, for policies that know the truth; an application has none.
        now_ms: simulated time.
    """

    user_id: str
    shopper: int
    now_ms: int


class Policy(Protocol):
    """What fills a slate."""

    def serve(self, request: Request) -> Served:
        """Return at most a slate's size of items on offer, best first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadList:
    """A recommender's answer in wire terms, as an application reads it."""

    list_id: str
    item_ids: list[str]
    propensities: list[float | None]


# A recommender behind the application: user id and simulated time in, its list or None out.
ReadRecommendations = Callable[[str, int], ReadList | None]


class Application:
    """What a plain application knows by itself: recent opens, and what each id opened or hid.

    It learns from the actions it sends, under the ids it sends them with.
    """

    def __init__(self, settings: Settings, world: World) -> None:
        self._half_life_ms = settings.popularity_half_life_min * MINUTE_MS
        self._world = world
        self._mass_I = np.zeros(len(world.items))
        self._as_of_ms = world.start_ms
        self._ranked: list[int] = []
        self._ranked_ms = -_REFRESH_MS
        self._known: defaultdict[str, set[int]] = defaultdict(set)

    def opened(self, user_id: str, item: int, now_ms: int) -> None:
        """Count an open, by whatever way the shopper came."""
        self._age_to(now_ms)
        self._mass_I[item] += 1.0
        self._known[user_id].add(item)

    def hidden(self, user_id: str, item: int) -> None:
        """Remember not to show an item to this id."""
        self._known[user_id].add(item)

    def known(self, user_id: str) -> AbstractSet[int]:
        """Return what this id has opened or hidden."""
        return self._known[user_id]

    def popular(self, user_id: str, num_items: int, now_ms: int) -> list[int]:
        """Return the items most opened of late that this id has neither opened nor hidden."""
        if now_ms - self._ranked_ms >= _REFRESH_MS:
            self._rank(now_ms)
        known = self._known[user_id]
        chosen: list[int] = []
        for item in self._ranked:
            if item not in known:
                chosen.append(item)
                if len(chosen) == num_items:
                    break
        return chosen

    def _age_to(self, now_ms: int) -> None:
        grown = len(self._world.items) - len(self._mass_I)
        if grown:
            self._mass_I = np.concatenate([self._mass_I, np.zeros(grown)])
        # A minute's granularity costs nothing in quality and saves a pass over the items.
        if now_ms - self._as_of_ms >= MINUTE_MS:
            self._mass_I *= 2.0 ** (-(now_ms - self._as_of_ms) / self._half_life_ms)
            self._as_of_ms = now_ms

    def _rank(self, now_ms: int) -> None:
        self._age_to(now_ms)
        # Ties, above all among items never opened, go to the newest.
        order = np.lexsort((-np.arange(len(self._mass_I)), -self._mass_I))
        available_I = self._world.availability(now_ms)[: len(order)]
        self._ranked = order[available_I[order]].tolist()
        self._ranked_ms = now_ms


class PopularPolicy:
    """The baseline: what was opened most of late, the same for all but for what one has opened."""

    def __init__(self, application: Application, settings: Settings) -> None:
        self._application = application
        self._slate_size = settings.slate_size

    def serve(self, request: Request) -> Served:
        """Return the recent-popularity list, with propensity 1 at every position."""
        items = self._application.popular(request.user_id, self._slate_size, request.now_ms)
        return Served(
            list_id=f"popular-{request.now_ms}",
            items=np.array(items, dtype=np.int64),
            propensities=[1.0] * len(items),
        )


class RandomPolicy:
    """Items on offer in a uniformly random order."""

    def __init__(self, world: World, settings: Settings, rng: np.random.Generator) -> None:
        self._world = world
        self._slate_size = settings.slate_size
        self._rng = rng
        self._minute = -1
        self._available = np.empty(0, dtype=np.int64)

    def serve(self, request: Request) -> Served:
        """Return distinct items; each of N on offer stands at each position with chance 1/N."""
        available = self.available(request.now_ms)
        picks = np.unique(self._rng.integers(len(available), size=self._slate_size * 2))
        self._rng.shuffle(picks)
        items = available[picks[: self._slate_size]]
        return Served(
            list_id=f"random-{request.now_ms}",
            items=items,
            propensities=[1.0 / len(available)] * len(items),
        )

    def available(self, now_ms: int) -> NDArray[np.int64]:
        """Return the items on offer as of the minute's beginning."""
        if now_ms // MINUTE_MS != self._minute:
            self._minute = now_ms // MINUTE_MS
            self._available = np.flatnonzero(self._world.availability(self._minute * MINUTE_MS))
        return self._available


class ExploringPolicy:
    """The logging policy: the popular list, each position replaced at random now and then."""

    def __init__(
        self, popular: Policy, random: RandomPolicy, settings: Settings, rng: np.random.Generator
    ) -> None:
        self._popular = popular
        self._random = random
        self._share = settings.exploration
        self._rng = rng

    def serve(self, request: Request) -> Served:
        """Return the mixture, with the exact chance of the item that stands at each position.

        An item that is drawn at random although it already stands in the slate is left out in
        favour of the popular one; at 10 of 1,500 items that shifts a propensity by under 1 %.
        """
        base = self._popular.serve(request)
        available = self._random.available(request.now_ms)
        items, standing = base.items.tolist(), set(base.items.tolist())
        chance = self._share / len(available)
        propensities = [1.0 - self._share + chance] * len(items)
        for position in np.flatnonzero(self._rng.random(len(items)) < self._share).tolist():
            item = int(available[self._rng.integers(len(available))])
            if item not in standing:
                standing.add(item)
                items[position], propensities[position] = item, chance
        return Served(
            list_id=f"explore-{request.now_ms}",
            items=np.array(items, dtype=np.int64),
            propensities=propensities,
        )


class OraclePolicy:
    """The best list for a page: the true probabilities in falling order."""

    def __init__(self, behaviour: Behaviour, settings: Settings) -> None:
        self._behaviour = behaviour
        self._slate_size = settings.slate_size

    def serve(self, request: Request) -> Served:
        """Return the items that the shopper is most likely to open now."""
        probability_I = self._behaviour.probabilities(request.shopper, slice(None), request.now_ms)
        items = best(probability_I, self._slate_size)
        return Served(
            list_id=f"oracle-{request.now_ms}", items=items, propensities=[1.0] * len(items)
        )


class RecommenderPolicy:
    """Headrace's list as an application shows it: what is missing is filled up with the popular."""

    def __init__(
        self,
        read: ReadRecommendations,
        fallback: PopularPolicy,
        world: World,
        settings: Settings,
    ) -> None:
        self._read = read
        self._fallback = fallback
        self._world = world
        self._slate_size = settings.slate_size
        self.num_reads = 0
        self.num_fallbacks = 0

    def serve(self, request: Request) -> Served:
        """Return the recommender's list without what is no longer on offer, filled up if short."""
        self.num_reads += 1
        answer = self._read(request.user_id, request.now_ms)
        chosen = self._on_offer(answer, request.now_ms) if answer else {}
        if answer is None or not chosen:
            self.num_fallbacks += 1
            return self._fallback.serve(request)
        if len(chosen) < self._slate_size:
            for item in self._fallback.serve(request).items.tolist():
                chosen.setdefault(item, 1.0)
        items = list(chosen)[: self._slate_size]
        return Served(
            list_id=answer.list_id,
            items=np.array(items, dtype=np.int64),
            propensities=[chosen[item] for item in items],
        )

    def _on_offer(self, answer: ReadList, now_ms: int) -> dict[int, float]:
        chosen: dict[int, float] = {}
        for item_id, propensity in zip(answer.item_ids, answer.propensities, strict=True):
            item = self._world.item_number(item_id)
            if item is not None and self._world.is_available(item, now_ms):
                chosen.setdefault(item, 1.0 if propensity is None else propensity)
            if len(chosen) == self._slate_size:
                break
        return chosen


def best(probability_I: NDArray[np.float64], num_items: int) -> NDArray[np.int64]:
    """Return the numbers of the largest probabilities, largest first."""
    top = np.argpartition(-probability_I, num_items)[:num_items]
    return np.asarray(top[np.argsort(-probability_I[top], kind="stable")])
