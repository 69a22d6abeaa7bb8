"""Which rows of a bundle stand for which codes, while codes are given and retired?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.online.vocabulary import Vocabulary

NO_ROW = -1
"""Of a code whose item the bundle does not have."""


class BundleCodes:
    """The codes of a bundle's items.

    Attributes:
        row_of_code: int64, the row of each code's item, `NO_ROW` where there is none.
        known: int32, the codes that have a row.
    """

    def __init__(self, keys_N: NDArray[np.uint64], vocabulary: Vocabulary) -> None:
        """Begin without a look at the vocabulary.

        Args:
            keys_N: Of the items of the bundle's rows.
            vocabulary: Which goes on changing.
        """
        self._vocabulary = vocabulary
        self._num_learned = len(keys_N)
        self._joined: dict[int, int] = {}
        self._order_N = np.argsort(keys_N)
        self._sorted_keys_N = keys_N[self._order_N]
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self.row_of_code: NDArray[np.int64] = np.empty(0, np.int64)
        self.known: NDArray[np.int32] = np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self._keys)

    def rows_of(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of each key's item, `NO_ROW` where there is none."""
        rows = np.full(len(keys), NO_ROW)
        if len(self._sorted_keys_N):
            place = np.searchsorted(self._sorted_keys_N, keys)
            place = np.minimum(place, len(self._sorted_keys_N) - 1)
            rows = np.where(self._sorted_keys_N[place] == keys, self._order_N[place], NO_ROW)
        if self._joined:
            for index in np.flatnonzero(rows == NO_ROW).tolist():
                rows[index] = self._joined.get(int(keys[index]), NO_ROW)
        return rows

    def join(self, codes_E: NDArray[np.int64]) -> None:
        """Give the rows behind the bundle's to items that came after it, in place of all before.

        Args:
            codes_E: Of items that the bundle does not have, in the order of their rows.
        """
        self.row_of_code[self.row_of_code >= self._num_learned] = NO_ROW
        rows_E = self._num_learned + np.arange(len(codes_E))
        self.row_of_code[codes_E] = rows_E
        self._joined = dict(zip(self._keys[codes_E].tolist(), rows_E.tolist(), strict=True))
        self.known = np.flatnonzero(self.row_of_code != NO_ROW).astype(np.int32)

    @property
    def may_join(self) -> NDArray[np.bool_]:
        """Whether each code has an item that the bundle does not have."""
        is_learned = (self.row_of_code != NO_ROW) & (self.row_of_code < self._num_learned)
        lacking: NDArray[np.bool_] = (self._keys != 0) & ~is_learned
        return lacking

    def follow(self) -> NDArray[np.int64]:
        """Look up what codes were given or retired, and return them; those that are gone, too."""
        keys = self._vocabulary.keys
        if np.array_equal(keys, self._keys):
            return np.empty(0, np.int64)
        former = np.zeros_like(keys)
        kept = min(len(keys), len(self._keys))
        former[:kept] = self._keys[:kept]
        rows = np.full(len(keys), NO_ROW)
        rows[:kept] = self.row_of_code[:kept]
        # Looking up all of 200,000 would take as long as many lists.
        changed = np.flatnonzero(keys != former)
        rows[changed] = self.rows_of(keys[changed])
        gone = np.arange(len(keys), len(self._keys))
        self._keys, self.row_of_code = keys.copy(), rows
        self.known = np.flatnonzero(self.row_of_code != NO_ROW).astype(np.int32)
        return np.concatenate([changed, gone])
