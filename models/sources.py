"""What do the counters propose, and how do they score? The sources of the seconds clock.

Log-scores are logarithms of shares of actions, in nats: they mean the same under any traffic, and 1
is the natural weight of each in a softmax over candidates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.context_popularity import ContextPopularity
    from models.covisitation import Covisitation
    from models.fresh import Fresh
    from models.popularity import Popularity
    from models.retrieval import Query

_FLOOR = 1e-3
"""Actions that every item is credited with, so that logarithms stay finite."""
_NOTHING = np.empty(0, dtype=np.int64)


def _counts(
    popularity: Popularity, query: Query, codes: NDArray[np.integer], index: int = 0
) -> NDArray[np.float64]:
    return query.once(
        ("popularity", index), codes, lambda: popularity.counts(codes, query.now_ms, index)
    )


def _shares(
    popularity: Popularity, query: Query, codes: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Each item's share of all actions now; one action is credited to all items together."""
    total = popularity.total(query.now_ms) + 1.0
    return query.once("shares", codes, lambda: (_counts(popularity, query, codes) + _FLOOR) / total)


class TrendingSource:
    """What is acted on most now: the logarithm of an item's share of actions."""

    name = "trending"

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity

    def recall(self, query: Query, num: int) -> NDArray[np.integer]:
        """The largest counts."""
        del query
        return self._popularity.largest(num)

    def score(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Finite for every item."""
        # The transformer adds this score to its own.
        return query.once(
            self.name,
            codes,
            lambda: np.log(_shares(self._popularity, query, codes)).astype(np.float32),
        )


class VelocitySource:
    """Whether an item is gaining: log-ratio of its recent rate to its longer one; scores only."""

    name = "velocity"

    def __init__(self, popularity: Popularity, long_index: int) -> None:
        self._popularity = popularity
        self._long_index = long_index
        half_lives_ms = popularity.half_lives_ms
        # Counts of a steady rate are proportional to the half-life.
        self._scale = half_lives_ms[long_index] / half_lives_ms[0]

    def recall(self, query: Query, num: int) -> NDArray[np.integer]:
        """Nothing."""
        del query, num
        return _NOTHING

    def score(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """0 for a steady rate and for items nobody acts on."""
        recent = _counts(self._popularity, query, codes) * self._scale
        longer = _counts(self._popularity, query, codes, self._long_index)
        return np.log((recent + 1.0) / (longer + 1.0)).astype(np.float32)


class CovisitationSource:
    """What followed the user's last items: the logarithm of `Covisitation.shares`.

    Popularity smooths it: it orders what never followed them, and all for users without history.
    """

    name = "covisitation"

    def __init__(self, covisitation: Covisitation, popularity: Popularity) -> None:
        self._covisitation = covisitation
        self._popularity = popularity

    def recall(self, query: Query, num: int) -> NDArray[np.integer]:
        """The best of what followed; nothing for users without history."""
        # The transformer asks for the first of them, too.
        return query.once(self.name, _NOTHING, lambda: self._ranked(query))[:num]

    def _ranked(self, query: Query) -> NDArray[np.integer]:
        followers = self._covisitation.followers(query.previous)
        if followers.size <= 1:
            return followers
        return followers[np.argsort(-self._log_shares(query, followers), kind="stable")]

    def score(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Finite for every item."""
        return query.once(
            self.name, codes, lambda: self._log_shares(query, codes).astype(np.float32)
        )

    def _log_shares(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        popularity = _shares(self._popularity, query, codes)
        shares = self._covisitation.shares(query.previous, codes, popularity, query.now_ms)
        log_shares: NDArray[np.float64] = np.log(shares)
        return log_shares


class FreshSource:
    """What appeared last: -log(1 + age in minutes)."""

    name = "fresh"

    def __init__(self, fresh: Fresh) -> None:
        self._fresh = fresh

    def recall(self, query: Query, num: int) -> NDArray[np.integer]:
        """The newest."""
        del query
        return self._fresh.newest(num)

    def score(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Finite for every item, at most 0."""
        minutes = self._fresh.ages_ms(codes, query.now_ms) / 60_000
        return (-np.log1p(minutes)).astype(np.float32)


class ContextSource:
    """How much more an item is acted on under one context feature's value; scores only."""

    def __init__(
        self,
        contexts: ContextPopularity,
        position: int,
        popularity: Popularity,
        popularity_index: int,
    ) -> None:
        """Names the feature.

        Args:
            contexts: The counts.
            position: Of the feature in `contexts.names`.
            popularity: Counts over all values, of which
            popularity_index: has the half-life of `contexts`.
        """
        self.name = f"context:{contexts.names[position]}"
        self._contexts = contexts
        self._position = position
        self._popularity = popularity
        self._index = popularity_index

    def recall(self, query: Query, num: int) -> NDArray[np.integer]:
        """Nothing."""
        del query, num
        return _NOTHING

    def score(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """NaN where the event did not carry the feature."""
        rows = query.context_rows
        if self._position >= len(rows) or rows[self._position] < 0:
            return np.full(len(codes), math.nan, dtype=np.float32)
        lifts = query.once("contexts", codes, lambda: self._lifts(query, codes))
        lift: NDArray[np.float32] = lifts[self._position].astype(np.float32)
        return lift

    def _lifts(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        popularity = _counts(self._popularity, query, codes, self._index)
        return self._contexts.lifts(query.context_rows, codes, popularity, query.now_ms)
