"""Which rows of a column are largest, without sorting the column each time?

For a column whose cells only grow (decayed counts, first appearances), the rows that were among
the largest stay candidates: a row outside can enter only by being touched. So a small pool is kept
and sorted instead of the column.

Guarantee: the answer is a function of the column alone (largest first, ties by smaller row), never
of the calls that went before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.online.columns import Column

# The pool's size when built, as a multiple of the rows asked for, and when it is built anew.
_POOL_FACTOR = 4
_MAX_POOL_FACTOR = 12


class TopRows:
    """The largest rows of one column of width 1 whose empty cells are smaller than all others."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._pool: set[int] = set()
        self._threshold = -np.inf
        self._pool_num = 0
        self._order: NDArray[np.int64] | None = None

    def touch(self, row: int) -> None:
        """Says that the row's cell has grown."""
        self._order = None
        if self._column.cells[row] >= self._threshold:
            self._pool.add(row)

    def forget(self) -> None:
        """Says that anything may have changed: cells shrank, or a payload was taken in."""
        self._order = None
        self._pool_num = 0

    def largest(self, num: int) -> NDArray[np.int64]:
        """At most `num` rows that are not empty, largest first."""
        if num > self._pool_num or len(self._pool) > _MAX_POOL_FACTOR * self._pool_num:
            self._build(num)
        if self._order is None:
            rows = np.fromiter(self._pool, dtype=np.int64, count=len(self._pool))
            self._order = self._sorted(rows)[: self._pool_num]
        return self._order[:num]

    def _build(self, num: int) -> None:
        values = self._column.values
        rows = np.flatnonzero(values != self._column.spec.fill)
        pool_num = _POOL_FACTOR * num
        if rows.size > pool_num:
            of_rows = values[rows]
            # Ties at the threshold all stay, so that the pool does not depend on the partition.
            self._threshold = np.partition(of_rows, rows.size - pool_num)[rows.size - pool_num]
            rows = rows[of_rows >= self._threshold]
        else:
            self._threshold = -np.inf
        self._pool = set(rows.tolist())
        self._pool_num = num
        self._order = None

    def _sorted(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        rows.sort()
        return rows[np.argsort(-self._column.values[rows], kind="stable")]
