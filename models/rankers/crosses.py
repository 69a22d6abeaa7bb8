"""Which weight belongs to which pair of bins? The cross-product features of a feature layout.

Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016, equation 1: a cross-product of
binary features is 1 where all of them are. Of every two templates each pair of bins is one such
feature. Where there are more of them than cells, pairs share cells by hashing; otherwise none do.

Shape letters: N items, C templates, P = C (C - 1) / 2 pairs of templates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Knuth's multiplier, 2^32 over the golden ratio: what it scatters is read from the middle bits.
_MULTIPLIER: Final = np.int64(2_654_435_761)
_SHIFT: Final = np.int64(12)


class Crosses:
    """The crosses of every two of a layout's first templates.

    >>> crosses = Crosses(np.array([0, 2, 5]), 100)
    >>> crosses.num_cells, crosses.cells(np.array([[0, 2], [1, 2], [1, 4]])).ravel().tolist()
    (6, [0, 1, 5])
    """

    def __init__(self, offsets: NDArray[np.int64], max_cells: int) -> None:
        """Lay the pairs out.

        Args:
            offsets: int64[C + 1], the first index of each template, and the end.
            max_cells: Beyond so many pairs of bins share cells.
        """
        sizes = np.diff(offsets)
        self._second, self._first = np.tril_indices(len(sizes), -1)
        # A template with itself says nothing new: only pairs of two.
        pair_sizes = sizes[self._second] * sizes[self._first]
        self._starts = np.cumsum(pair_sizes) - pair_sizes
        self._strides = sizes[self._first]
        self._offsets = offsets[:-1]
        self._is_exact = int(pair_sizes.sum()) <= max_cells
        self.num_cells = int(pair_sizes.sum()) if self._is_exact else max_cells

    def cells(self, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the cell of each pair, int64[N, P], of indices int[N, C]."""
        bins = indices - self._offsets
        pairs = self._starts + bins[:, self._second] * self._strides + bins[:, self._first]
        cells: NDArray[np.int64]
        cells = pairs if self._is_exact else (pairs * _MULTIPLIER >> _SHIFT) % self.num_cells
        return cells
