"""What else did users with the same recent items act upon? Vector sequence nearest neighbours.

V-SkNN (Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms"): the
items of the current sequence weigh the more the newer they are; its neighbours are the logged users
with the largest weighted overlap; an item's score is the sum of the similarities of the neighbours
that have it, each times the weight of the newest item that the two have in common, and times the
item's inverse document frequency to a power.

Where we differ: a user's whole history is one session, of which the newest `num_logged` items are
kept, since tastes drift over hundreds of items; weights fall geometrically and not linearly, and
the similarity is not divided by the neighbour's length, which was no better on ML-1M.

Shape letters: B sequences, N items, U users, Z items of users, S items of the sequence, K
neighbours.
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


class NeighbourRecommender(Recommender):
    """Items of each user and users of each item, both as rows of a sparse matrix."""

    name = "vsknn"

    def __init__(
        self,
        *,
        num_neighbours: int = 300,
        num_recent: int = 20,
        decay: float = 0.7,
        num_logged: int = 100,
        frequency_power: float = 1.0,
    ) -> None:
        """Set who is a neighbour; defaults were chosen on a quarter of ML-1M's validation actions.

        Args:
            num_neighbours: users whose items are counted.
            num_recent: items of the sequence that are looked at, the newest.
            decay: weight of an item against that of the next newer one.
            num_logged: items of a logged user that are kept, the newest.
            frequency_power: of the item's inverse document frequency.
        """
        super().__init__()
        self._num_neighbours = num_neighbours
        self._num_recent = num_recent
        self._decay = decay
        self._num_logged = num_logged
        self._frequency_power = frequency_power
        self.restore(
            {"begin": np.zeros(1), "item": np.empty(0), "rarity": np.empty(0), "tie": np.empty(0)}
        )

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        self._adopt(history.item_ids)
        order_R, begin_U = item_sequences(history)
        rows = [
            np.unique(history.items[order_R[max(begin, end - self._num_logged) : end]])
            for begin, end in zip(begin_U[:-1].tolist(), begin_U[1:].tolist(), strict=True)
        ]
        item_Z = np.concatenate([np.empty(0, np.int32), *rows])
        num_users_N = np.bincount(item_Z, minlength=len(self.item_ids))
        rarity_N = np.log((1 + len(rows)) / (1 + num_users_N)) ** self._frequency_power
        self.restore(
            {
                "begin": np.r_[0, np.cumsum([len(row) for row in rows])],
                "item": item_Z,
                "rarity": rarity_N,
                "tie": tie_breaks(item_counts(history)) * _EPSILON,
            }
        )
        yield FitProgress(done=1)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        scores_BN = np.tile(self._tie_N, (len(sequences), 1))
        for row, sequence in enumerate(sequences):
            items_S = sequence.items[sequence.items >= 0][-self._num_recent :]
            scores_BN[row] += self._scores_of(items_S)
        return scores_BN

    def _scores_of(self, items_S: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        similarity_U = np.zeros(len(self._begin_U) - 1)
        newest_U = np.zeros(len(self._begin_U) - 1)
        # From old to new, so that the newest common item's weight stays; a user has an item once.
        for place, item in enumerate(items_S.tolist()):
            weight = self._decay ** (len(items_S) - 1 - place)
            users = self._user_Z[self._users_begin_N[item] : self._users_begin_N[item + 1]]
            similarity_U[users] += weight
            newest_U[users] = weight
        neighbours_K = _largest(similarity_U, self._num_neighbours)
        share_K = similarity_U[neighbours_K] * newest_U[neighbours_K]
        sizes_K = self._begin_U[neighbours_K + 1] - self._begin_U[neighbours_K]
        places = np.repeat(self._begin_U[neighbours_K] - np.cumsum(sizes_K) + sizes_K, sizes_K)
        items = self._item_Z[places + np.arange(len(places))]
        summed_N = np.bincount(items, np.repeat(share_K, sizes_K), len(self.item_ids))
        scores_N: npt.NDArray[np.float64] = summed_N * self._rarity_N
        return scores_N

    @override
    def settings(self) -> Mapping[str, Any]:
        return {
            "num_neighbours": self._num_neighbours,
            "num_recent": self._num_recent,
            "decay": self._decay,
            "num_logged": self._num_logged,
            "frequency_power": self._frequency_power,
        }

    @override
    def weights(self) -> Arrays:
        return {
            "begin": self._begin_U,
            "item": self._item_Z,
            "rarity": self._rarity_N,
            "tie": self._tie_N,
        }

    @override
    def restore(self, weights: Arrays) -> None:
        num_items = len(self.item_ids)
        self._begin_U = checked(weights["begin"], None, np.int64)
        self._item_Z = checked(weights["item"], int(self._begin_U[-1]), np.int32)
        self._rarity_N = checked(weights["rarity"], num_items)
        self._tie_N = checked(weights["tie"], num_items)
        user_Z = np.repeat(np.arange(len(self._begin_U) - 1), np.diff(self._begin_U))
        self._user_Z = user_Z[np.argsort(self._item_Z, kind="stable")]
        counts_N = np.bincount(self._item_Z, minlength=num_items)
        self._users_begin_N = np.r_[0, np.cumsum(counts_N)]


def _largest(values_U: npt.NDArray[np.float64], num: int) -> npt.NDArray[np.int64]:
    """Return the places of the largest positive values, ties by smaller place."""
    positive = np.flatnonzero(values_U > 0)
    order = np.argsort(-values_U[positive], kind="stable")
    return positive[order[:num]]
