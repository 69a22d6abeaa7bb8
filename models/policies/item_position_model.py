"""What may be expected of an item at a place? Click rates with shrinkage, for doubly robust.

    rate(item, place) = (clicks + m * expected) / (shown + m)
    expected = rate(item) * rate(place) / rate(all)

where rate(item) and rate(place) are drawn likewise towards the rate of all, each by `strength`
shown items. An estimate may not use a model that has seen the slot's own reward, so users are put
into folds and a fold is told what the others have taught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NUM_FOLDS: Final = 5
_NEW: Final = -1


def fold_of(user_id: str) -> int:
    """The user's fold; the same in every run."""
    return crc32(user_id.encode()) % NUM_FOLDS


class ItemPositionModel:
    """Counts of what was shown and clicked, by fold, item and place.

    >>> model = ItemPositionModel(num_positions=2, strength=2.0)
    >>> model.learn(0, [7, 7, 8], np.array([1, 2, 2]), np.array([True, False, False]))
    >>> model.learn(1, [7], np.array([1]), np.array([True]))
    >>> first = np.array([1])
    >>> model.expected(1, [7], first).round(6).tolist()  # fold 0: (1 + 2 * 25/36) / (1 + 2)
    [[0.796296]]
    >>> model.expected(0, [8], first).tolist()  # fold 1: whatever was shown was clicked
    [[1.0]]
    """

    def __init__(self, *, num_positions: int, strength: float = 100.0) -> None:
        """Begin with nothing: until there was a click, nothing is expected.

        Args:
            num_positions: Places that are told apart; those below count as the last.
            strength: How many shown items the prior is worth, above 0.
        """
        self._num_positions = num_positions
        self._strength = strength
        self._rows: dict[int, int] = {}
        # Shown and clicked, [2, fold, item, place].
        self._counts = np.zeros((2, NUM_FOLDS, 64, num_positions))
        self._places = np.zeros((2, NUM_FOLDS, num_positions))

    def learn(
        self,
        fold: int,
        items: Sequence[int],
        positions: NDArray[np.integer],
        labels: NDArray[np.bool_],
    ) -> None:
        """Take shown items of a fold, named by any number, with their places from 1."""
        rows = np.array([self._row(item) for item in items], np.int64)
        columns = np.minimum(positions, self._num_positions) - 1
        np.add.at(self._counts[0, fold], (rows, columns), 1.0)
        np.add.at(self._counts[1, fold], (rows, columns), labels)
        np.add.at(self._places[0, fold], columns, 1.0)
        np.add.at(self._places[1, fold], columns, labels)

    def expected(
        self, fold: int, items: Sequence[int], positions: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Chance of a click on each item at each place by what the other folds taught, [K, N]."""
        places = self._places.sum(axis=1) - self._places[:, fold]
        num_shown, num_clicked = places.sum(axis=1).tolist()
        rate = num_clicked / num_shown if num_shown else 0.0
        if not rate:
            return np.zeros((len(positions), len(items)))
        rows = np.array([self._rows.get(item, _NEW) for item in items], np.int64)
        counts = self._counts[:, :, rows].sum(axis=1) - self._counts[:, fold, rows]
        shown_NP, clicked_NP = np.where((rows == _NEW)[:, None], 0.0, counts)
        of_items = self._drawn(clicked_NP.sum(axis=1), shown_NP.sum(axis=1), rate)
        columns = np.minimum(positions, self._num_positions) - 1
        of_places = self._drawn(places[1, columns], places[0, columns], rate)
        prior_KN = np.minimum(of_places[:, None] * of_items / rate, 1.0)
        return self._drawn(clicked_NP.T[columns], shown_NP.T[columns], prior_KN)

    def _drawn(
        self,
        clicked: NDArray[np.float64],
        shown: NDArray[np.float64],
        prior: NDArray[np.float64] | float,
    ) -> NDArray[np.float64]:
        drawn: NDArray[np.float64] = (clicked + self._strength * prior) / (shown + self._strength)
        return drawn

    def _row(self, item: int) -> int:
        row = self._rows.setdefault(item, len(self._rows))
        if row == self._counts.shape[2]:
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)], axis=2)
        return row
