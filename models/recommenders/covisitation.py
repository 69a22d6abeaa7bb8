"""What do users act upon soon after an item? Counts of pairs, damped by popularity.

An item j that a user acted upon d actions after item i counts 1/d for the pair (i, j), up to
`window` actions; pairs against the log's order count `backward` as much, because a log whose order
is partly arbitrary (ratings entered in one go) still says what goes together. A sequence scores

    score(j) = sum over its newest items i, a back from the end, of
               decay^a * count(i, j) / (count(i, .) * actions(j)^damping)

and a share of popularity too small to matter orders the items that no pair speaks of. The largest
`num_listed` partners of an item are kept.

Shape letters: B sequences, N items, Z pairs, S sequence items.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from models.bundle import Arrays
from models.history import History
from models.recommender import (
    FitProgress,
    Recommender,
    UserSequence,
    Validate,
    checked,
    item_counts,
    item_sequences,
    tie_breaks,
)

_EPSILON: Final = 1e-9


class CovisitationRecommender(Recommender):
    """Item-to-item counts in rows of partners, like a sparse matrix."""

    name = "covisitation"

    def __init__(
        self,
        *,
        window: int = 20,
        backward: float = 0.05,
        decay: float = 0.7,
        num_recent: int = 20,
        damping: float = 0.2,
        num_listed: int = 500,
    ) -> None:
        """Set how pairs count; defaults were chosen on a quarter of ML-1M's validation actions.

        Args:
            window: largest distance of a pair.
            backward: weight of a pair against the log's order.
            decay: weight of an item of the sequence against that of the next newer one; it matters
                most: .65 to .75 is best, .9 costs .02 of NDCG@10.
            num_recent: items of the sequence that are looked at, the newest.
            damping: power of the partner's popularity that divides its count.
            num_listed: partners of an item that are kept.
        """
        super().__init__()
        self._window = window
        self._backward = backward
        self._decay = decay
        self._num_recent = num_recent
        self._damping = damping
        self._num_listed = num_listed
        self.restore(
            {
                "begin": np.zeros(1),
                "partner": np.empty(0),
                "weight": np.empty(0),
                "tie": np.empty(0),
            }
        )

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        self._adopt(history.item_ids)
        num_items = len(self.item_ids)
        keys, counts = self._pair_counts(history)
        yield FitProgress(done=0.8)
        source_Z, partner_Z = np.divmod(keys, max(num_items, 1))
        popularity_N = item_counts(history)
        total_N = np.bincount(source_Z, counts, num_items)
        weight_Z = counts / (total_N[source_Z] * popularity_N[partner_Z] ** self._damping)
        # Largest partners of each item first, ties in the catalogue's order.
        order = np.lexsort((partner_Z, -weight_Z, source_Z))
        begin_N = np.searchsorted(source_Z, np.arange(num_items + 1))
        place_Z = np.arange(len(order)) - begin_N[source_Z]
        listed = place_Z < self._num_listed
        self.restore(
            {
                "begin": np.r_[0, np.cumsum(np.bincount(source_Z[listed], minlength=num_items))],
                "partner": partner_Z[order][listed],
                "weight": weight_Z[order][listed],
                "tie": tie_breaks(popularity_N) * _EPSILON,
            }
        )
        yield FitProgress(done=1)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        scores_BN = np.tile(self._tie_N, (len(sequences), 1))
        for row_N, sequence in zip(scores_BN, sequences, strict=True):
            items_S = sequence.items[sequence.items >= 0][-self._num_recent :]
            share_S = self._decay ** np.arange(len(items_S))[::-1]
            for item, share in zip(items_S.tolist(), share_S.tolist(), strict=True):
                listed = slice(self._begin_N[item], self._begin_N[item + 1])
                # An item lists each partner once, so nothing is lost by plain indexing.
                row_N[self._partner_Z[listed]] += share * self._weight_Z[listed]
        return scores_BN

    @override
    def settings(self) -> Mapping[str, Any]:
        return {
            "window": self._window,
            "backward": self._backward,
            "decay": self._decay,
            "num_recent": self._num_recent,
            "damping": self._damping,
            "num_listed": self._num_listed,
        }

    @override
    def weights(self) -> Arrays:
        return {
            "begin": self._begin_N,
            "partner": self._partner_Z,
            "weight": self._weight_Z,
            "tie": self._tie_N,
        }

    @override
    def restore(self, weights: Arrays) -> None:
        num_items = len(self.item_ids)
        self._begin_N = checked(weights["begin"], num_items + 1, np.int64)
        self._partner_Z = checked(weights["partner"], int(self._begin_N[-1]), np.int32)
        self._weight_Z = checked(weights["weight"], int(self._begin_N[-1]))
        self._tie_N = checked(weights["tie"], num_items)

    def _pair_counts(
        self, history: History
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return `source * N + partner` of each pair, ascending, and how much it counts."""
        num_items = len(self.item_ids)
        order_R, begin_U = item_sequences(history)
        items_R = history.items[order_R].astype(np.int64)
        user_R = np.repeat(np.arange(len(begin_U) - 1), np.diff(begin_U))
        keys, counts = np.empty(0, np.int64), np.empty(0, np.float64)
        # One distance at a time: memory follows the log, not the log times the window.
        for distance in range(1, self._window + 1):
            together = (user_R[distance:] == user_R[:-distance]) & (
                items_R[distance:] != items_R[:-distance]
            )
            first, second = items_R[:-distance][together], items_R[distance:][together]
            for source, partner, worth in (
                (first, second, 1.0),
                (second, first, self._backward),
            ):
                new, num = np.unique(source * num_items + partner, return_counts=True)
                keys, counts = _merged(keys, counts, new, np.float64(worth / distance) * num)
        return keys, counts


def _merged(
    keys: npt.NDArray[np.int64],
    counts: npt.NDArray[np.float64],
    more_keys: npt.NDArray[np.int64],
    more_counts: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the keys of both, ascending, and the sums of their counts."""
    both, place = np.unique(np.r_[keys, more_keys], return_inverse=True)
    summed = np.bincount(place, np.r_[counts, more_counts], len(both)).astype(np.float64)
    return both, summed
