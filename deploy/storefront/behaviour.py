"""What does a shopper do? Click probabilities, slate examination, and the times between deeds.

log-odds to open an examined item = appeal(item, now) + taste · match(user, item)
+ habit · pull(last opened item, item, time since). An item at position k is examined with
probability k ** -bias, independently; the shopper opens the first examined item that convinces
them, so a page leads to one click at most, and

    P(click at k) = e_k p_k · ∏_{j<k} (1 - e_j p_j)          P(click) = 1 - ∏_k (1 - e_k p_k).

P(click) is largest with p in falling order: -log(1 - e p) is supermodular in e and p. The oracle
list is therefore exactly the best one for a page, though not for a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deploy.storefront.world import MINUTE_MS, topic_pull

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.storefront.settings import Settings
    from deploy.storefront.world import World

_NO_ITEM = -1
_POOL = 16_384


class Draws:
    """Uniform and normal draws from one generator, made in batches (a scalar draw costs 1 µs)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._uniforms: list[float] = []
        self._normals: list[float] = []

    def uniform(self) -> float:
        """Return a draw from [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._rng.random(_POOL).tolist()
        return self._uniforms.pop()

    def lognormal(self, median: float, sigma: float) -> float:
        """Return a positive draw with this median, whose logarithm has this spread."""
        if not self._normals:
            self._normals = self._rng.standard_normal(_POOL).tolist()
        return float(median * np.exp(sigma * self._normals.pop()))


class Behaviour:
    """The shoppers' minds: what each has opened and hidden, and what they would open now.

    A shopper is a row number of `World.users`; an item a number of `World.items`.
    """

    def __init__(self, world: World, settings: Settings) -> None:
        num_users = settings.num_users
        self._world = world
        self._settings = settings
        self._last_item_U = [_NO_ITEM] * num_users
        self._last_ms_U = [0] * num_users
        self._opened_U: list[set[int]] = [set() for _ in range(num_users)]
        self._hidden_U: list[set[int]] = [set() for _ in range(num_users)]
        self._minute = -1
        self._appeal_I = np.empty(0)
        self._examined_K = (
            np.arange(1, settings.slate_size + 1, dtype=np.float64) ** -settings.position_bias
        )

    def open(self, user: int, item: int, now_ms: int) -> None:
        """Remember that the shopper opened an item."""
        self._last_item_U[user] = item
        self._last_ms_U[user] = now_ms
        self._opened_U[user].add(item)

    def hide(self, user: int, item: int) -> None:
        """Remember that the shopper does not want to see an item again."""
        self._hidden_U[user].add(item)

    def appeal(self, now_ms: int) -> NDArray[np.float64]:
        """Return the items' appeal, as of the beginning of the minute (it moves in hours).

        An item that was published or withdrawn within the minute changes at the minute's end.
        """
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._world.advance(now_ms)
            self._appeal_I = self._world.appeal(minute * MINUTE_MS)
            self._minute = minute
        return self._appeal_I

    def probabilities(
        self, user: int, items: NDArray[np.int64] | slice, now_ms: int
    ) -> NDArray[np.float64]:
        """Return the true probability that the shopper opens each item, once examined.

        Args:
            user: the shopper.
            items: item numbers, or `slice(None)` for the whole catalogue.
            now_ms: simulated time.
        """
        # First of all: the hour may be new, and then the catalogue has grown.
        appeal_N = self.appeal(now_ms)[items]
        settings, truth = self._settings, self._world.items
        category_N = truth.category_I[items]
        match_N = self._world.users.taste_UC[user][category_N]
        match_N += truth.latent_IL[items] @ self._world.users.latent_UL[user]
        logit_N = appeal_N + settings.taste_strength * match_N
        self._add_habit(logit_N, user, category_N, truth.topic_I[items], now_ms)
        with np.errstate(over="ignore"):
            probability_N: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logit_N))
        self._tire(probability_N, user, items)
        return probability_N

    def click_probability(self, probability_K: NDArray[np.float64]) -> float:
        """Return P(click) of a slate whose items, in order, have these probabilities.

        Args:
            probability_K: at most a slate's size of probabilities.
        """
        return float(1.0 - np.prod(1.0 - self._examined_K[: len(probability_K)] * probability_K))

    def choose(self, probability_K: NDArray[np.float64], draw: float) -> int:
        """Return the index that is clicked, or -1, by inverting P(click at k) at a uniform draw."""
        chance_K = self._examined_K[: len(probability_K)] * probability_K
        missed_K = np.cumprod(1.0 - chance_K)
        index = int(np.searchsorted(-missed_K, -(1.0 - draw), side="right"))
        return index if index < len(probability_K) else -1

    def _add_habit(
        self,
        logit_N: NDArray[np.float64],
        user: int,
        category_N: NDArray[np.int64],
        topic_N: NDArray[np.int64],
        now_ms: int,
    ) -> None:
        last = self._last_item_U[user]
        if last == _NO_ITEM:
            return
        settings, truth = self._settings, self._world.items
        minutes = (now_ms - self._last_ms_U[user]) / MINUTE_MS
        pull = settings.habit_strength * float(self._world.users.habit_U[user])
        pull *= 2.0 ** (-minutes / settings.habit_half_life_min)
        if pull < 0.01:
            return
        logit_N += pull * self._world.follow_CC[truth.category_I[last]][category_N]
        logit_N += (pull * topic_pull()) * (topic_N == truth.topic_I[last])

    def _tire(
        self, probability_N: NDArray[np.float64], user: int, items: NDArray[np.int64] | slice
    ) -> None:
        opened, hidden = self._opened_U[user], self._hidden_U[user]
        if isinstance(items, slice):
            probability_N[list(opened)] *= self._settings.satiation
            probability_N[list(hidden)] = 0.0
            return
        for index, item in enumerate(items.tolist()):
            if item in opened:
                probability_N[index] *= self._settings.satiation
            if item in hidden:
                probability_N[index] = 0.0
