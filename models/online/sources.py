"""What do the counters propose, and how do they score? The sources of the seconds clock.

Log-scores are logarithms of shares of actions, in nats: they mean the same under any traffic, and 1
is the natural weight of each in a softmax over candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.item_index import largest
from models.online.questions import Questions, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.online.context_popularity import ContextPopularity
    from models.online.covisitation import Covisitation
    from models.online.fresh import Fresh
    from models.online.item_factors import ItemFactors
    from models.online.popularity import Popularity
    from models.online.questions import Query

FACTORS = "factors"
"""Name of the source that is in use only where it is configured."""

_FLOOR = 1e-3
"""Actions that every item is credited with, so that logarithms stay finite."""
_NOTHING = np.empty(0, dtype=np.int64)


def _counts(popularity: Popularity, asked: Questions, index: int = 0) -> NDArray[np.float64]:
    return asked.once(
        ("popularity", index), lambda: popularity.counts(asked.codes, asked.now_ms, index)
    )


def _shares(popularity: Popularity, asked: Questions, index: int = 0) -> NDArray[np.float64]:
    """Each item's share of all actions now; one action is credited to all items together."""

    def compute() -> NDArray[np.float64]:
        totals = [popularity.total(query.now_ms, index) + 1.0 for query in asked.queries]
        shares: NDArray[np.float64]
        shares = (_counts(popularity, asked, index) + _FLOOR) / np.array(totals)[asked.owners]
        return shares

    return asked.once(("shares", index), compute)


class TrendingSource:
    """What is acted on most now: the logarithm of an item's share of actions."""

    name = "trending"

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """The largest counts."""
        return [self._popularity.largest(num)] * len(queries)

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """Finite for every item."""
        # The transformer adds this score to its own.
        return asked.once(
            self.name, lambda: np.log(_shares(self._popularity, asked)).astype(np.float32)
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

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """Nothing."""
        del num
        return [_NOTHING] * len(queries)

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """0 for a steady rate and for items nobody acts on."""
        recent = _counts(self._popularity, asked) * self._scale
        longer = _counts(self._popularity, asked, self._long_index)
        return np.log((recent + 1.0) / (longer + 1.0)).astype(np.float32)


class CovisitationSource:
    """What followed the user's last items: the logarithm of `Covisitation.shares`.

    Popularity smooths it: it orders what never followed them, and all for users without history.
    """

    name = "covisitation"

    def __init__(self, covisitation: Covisitation, popularity: Popularity) -> None:
        self._covisitation = covisitation
        self._popularity = popularity

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """The best of what followed; nothing for users without history."""
        # The transformer asks for the first of them, too.
        missing = [query for query in queries if self.name not in query.kept]
        if missing:
            for query, ranked in zip(missing, self._ranked(missing), strict=True):
                query.kept[self.name] = ranked
        return [query.kept[self.name][:num] for query in queries]

    def _ranked(self, queries: Sequence[Query]) -> list[NDArray[np.integer]]:
        codes, sizes = joined(self._covisitation.followers(queries))
        asked = Questions(queries=queries, codes=codes, sizes=sizes)
        losses = -self._log_shares(asked)
        parts = [asked.part(index) for index in range(len(queries))]
        return [codes[part][losses[part].argsort(kind="stable")] for part in parts]

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """Finite for every item."""
        return asked.once(self.name, lambda: self._log_shares(asked).astype(np.float32))

    def _log_shares(self, asked: Questions) -> NDArray[np.float64]:
        shares = self._covisitation.shares(asked, _shares(self._popularity, asked))
        log_shares: NDArray[np.float64] = np.log(shares)
        return log_shares


class FactorsSource:
    """What the user's last items make likely: the logarithm of an item's share, and `lifts`.

    The share is of the longer count: factors say how much likelier an item is than among the last
    thousands of actions.
    """

    name = FACTORS

    def __init__(self, factors: ItemFactors, popularity: Popularity, index: int) -> None:
        """Names the count.

        Args:
            factors: Of items.
            popularity: Counts over all users, of which
            index: is the half-life that is looked at.
        """
        self._factors = factors
        self._popularity = popularity
        self._index = index

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """The best of what has been acted on, but for the items that the user is known by.

        Nothing for users of whose items nothing is known.
        """
        return [self._best(query, num) for query in queries]

    def _best(self, query: Query, num: int) -> NDArray[np.integer]:
        user_D = self._user(query)
        if user_D is None or num < 1:
            return _NOTHING
        logs_N = self._popularity.log_counts(query.now_ms, self._index, _FLOOR)
        scores_N = (logs_N + self._factors.all_lifts(user_D)).astype(np.float32)
        # No action has taught how likely an item is after itself: factors would overrate it.
        scores_N[[code for code in query.previous if code >= 0]] = -np.inf
        best = largest(scores_N, num)
        return best[scores_N[best] > -np.inf]

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """NaN for users of whose items nothing is known."""
        scores = np.full(len(asked), np.nan, np.float32)
        log_shares = np.log(_shares(self._popularity, asked, self._index))
        for index, query in enumerate(asked.queries):
            user_D = self._user(query)
            if user_D is not None:
                part = asked.part(index)
                lifts = self._factors.lifts(user_D, asked.codes[part])
                scores[part] = log_shares[part] + lifts
        return scores

    def _user(self, query: Query) -> NDArray[np.float32] | None:
        if self.name not in query.kept:
            query.kept[self.name] = self._factors.user(query.previous)
        user_D: NDArray[np.float32] | None = query.kept[self.name]
        return user_D


class FreshSource:
    """What appeared last: -log(1 + age in minutes)."""

    name = "fresh"

    def __init__(self, fresh: Fresh) -> None:
        self._fresh = fresh

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """The newest."""
        return [self._fresh.newest(num)] * len(queries)

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """Finite for every item, at most 0."""
        minutes = self._fresh.ages_ms(asked.codes, asked.now_ms) / 60_000
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

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """Nothing."""
        del num
        return [_NOTHING] * len(queries)

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """NaN where the event did not carry the feature."""
        carries_B = np.array([self._is_carried(query) for query in asked.queries], np.bool_)
        if not carries_B.any():
            return np.full(len(asked), np.nan, dtype=np.float32)
        lifts = asked.once("contexts", lambda: self._lifts(asked))
        of_items = carries_B[asked.owners]
        return np.where(of_items, lifts[self._position], np.nan).astype(np.float32)

    def _is_carried(self, query: Query) -> bool:
        rows = query.context_rows
        return self._position < len(rows) and rows[self._position] >= 0

    def _lifts(self, asked: Questions) -> NDArray[np.float64]:
        return self._contexts.lifts(asked, _counts(self._popularity, asked, self._index))
