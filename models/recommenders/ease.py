"""Which weights from item to item restore a bag best? EASE^R, in closed form.

Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data". X is the users' binary bags; the
weights minimise |X - X B|^2 + l2 |B|^2 under the condition that no item restores itself:

    P = (X' X + l2 I)^-1        B = I - P diag(1 / diag P)        (eq. 8)
    score(j | bag) = sum of B[i, j] over the items i of the bag   (eq. 1)

It is the autoencoder's linear case, without anything hidden, and the baseline that deeper ones have
to beat.

Where we differ: an item of the asked sequence may weigh the less the older it is, which a bag for
the next item wants; without a half-life it is the paper's. Of a catalogue above `max_items` only
the most frequent are modelled, since the weights are a matrix over them; ties and the others are
ordered by popularity.

Shape letters: B sequences, N items, K modelled items, U users, Z items of bags.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from models.bags import Bags, recency_weights, sequence_bags, user_bags
from models.bundle import Arrays
from models.history import History
from models.recommender import (
    FitProgress,
    Recommender,
    UserSequence,
    Validate,
    checked,
    item_counts,
    tie_breaks,
)

_EPSILON: Final = 1e-6
_BATCH_USERS: Final = 1024
_NOT_MODELLED: Final = -1


class LinearAutoencoder(Recommender):
    """A dense matrix of weights between the modelled items."""

    name = "ease"

    def __init__(
        self, *, l2: float = 1000.0, half_life: float | None = 3.0, max_items: int = 8192
    ) -> None:
        """Set the regularisation; defaults were chosen on ML-1M's validation actions.

        Args:
            l2: added to the diagonal of the items' co-occurrences, above 0.
            half_life: items after which an item of a sequence counts half; None for the paper's
                bag, in which all count alike.
            max_items: the most items that are modelled; memory grows with their square, training
                with their cube. A float64 matrix over 8,192 is half a gigabyte, and the inversion
                holds a few.
        """
        super().__init__()
        if l2 <= 0:
            raise ValueError(f"l2 is {l2}; above 0 expected, without it there may be no inverse")
        self._l2 = l2
        self._half_life = half_life
        self._max_items = max_items
        self.restore({"item": np.empty(0), "weight": np.empty((0, 0)), "tie": np.empty(0)})

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        self._adopt(history.item_ids)
        counts_N = item_counts(history)
        item_K = np.sort(np.argsort(-counts_N, kind="stable")[: self._max_items])
        self.restore(
            {
                "item": item_K,
                "weight": _weights(_co_occurrences(user_bags(history), item_K), self._l2),
                "tie": tie_breaks(counts_N) * _EPSILON,
            }
        )
        yield FitProgress(done=1)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        bags = sequence_bags(sequences)
        column_Z = self._column_N[bags.item_Z]
        modelled_Z = column_Z != _NOT_MODELLED
        bag_BK = np.zeros((len(bags), len(self._item_K)), np.float32)
        weight_Z = recency_weights(bags, self._half_life)
        bag_BK[bags.owners[modelled_Z], column_Z[modelled_Z]] = weight_Z[modelled_Z]
        scores_BN = np.tile(self._tie_N, (len(bags), 1))
        scores_BN[:, self._item_K] += bag_BK @ self._weight_KK
        return scores_BN

    @override
    def settings(self) -> Mapping[str, Any]:
        return {"l2": self._l2, "half_life": self._half_life, "max_items": self._max_items}

    @override
    def weights(self) -> Arrays:
        return {"item": self._item_K, "weight": self._weight_KK, "tie": self._tie_N}

    @override
    def restore(self, weights: Arrays) -> None:
        self._tie_N = checked(weights["tie"], len(self.item_ids))
        self._item_K = checked(weights["item"], len(weights["weight"]), np.int64)
        num = len(self._item_K)
        self._weight_KK = checked(weights["weight"].ravel(), num * num).reshape(num, num)
        self._column_N = np.full(len(self.item_ids), _NOT_MODELLED)
        self._column_N[self._item_K] = np.arange(num)


def _co_occurrences(bags: Bags, item_K: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how many bags have both of two items, `[K, K]`."""
    column_N = np.full(int(bags.item_Z.max(initial=-1)) + 1, _NOT_MODELLED)
    inside = item_K < len(column_N)
    column_N[item_K[inside]] = np.flatnonzero(inside)
    together_KK = np.zeros((len(item_K), len(item_K)), np.float64)
    for start in range(0, len(bags), _BATCH_USERS):
        part = bags.select(np.arange(start, min(start + _BATCH_USERS, len(bags))))
        column_Z = column_N[part.item_Z]
        modelled_Z = column_Z != _NOT_MODELLED
        bag_UK = np.zeros((len(part), len(item_K)), np.float32)
        bag_UK[part.owners[modelled_Z], column_Z[modelled_Z]] = 1
        together_KK += bag_UK.T @ bag_UK
    return together_KK


def _weights(together_KK: npt.NDArray[np.float64], l2: float) -> npt.NDArray[np.float64]:
    diagonal = np.arange(len(together_KK))
    together_KK[diagonal, diagonal] += l2
    precision_KK = np.linalg.inv(together_KK)
    weight_KK: npt.NDArray[np.float64] = precision_KK / -precision_KK.diagonal()
    weight_KK[diagonal, diagonal] = 0
    return weight_KK
