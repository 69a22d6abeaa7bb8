"""Which items' vectors have the largest dot products with a query?

Exact: one product with all vectors, 25 MB to read for a batch of queries at a hundred thousand
items of width 64. An approximate index has its place where a catalogue is too large for that.

Shape letters: B queries, N items, I vector width, K items asked for.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

_BATCH_QUERIES: Final = 256
_GROUPS: Final = 6
"""Groups of items for each item asked for: a search among their largest reads a few hundred numbers
where one among all items reads thousands."""


class ItemIndex:
    """The vectors of all items by their codes; a snapshot, which no training changes."""

    def __init__(self, vector_NI: npt.NDArray[np.float32]) -> None:
        """Take over the vectors."""
        self._vector_NI = vector_NI

    def __len__(self) -> int:
        return len(self._vector_NI)

    def nearest(
        self, query_BI: npt.NDArray[np.float32], num: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the codes of the nearest items and their products, best first, `[B, K]` each.

        Equal products are ordered by code. Of fewer than `num` items all are returned.
        """
        shape = (len(query_BI), min(num, len(self)))
        item_BK, product_BK = np.empty(shape, np.int64), np.empty(shape, np.float32)
        for start in range(0, len(query_BI), _BATCH_QUERIES):
            product_BN = query_BI[start : start + _BATCH_QUERIES] @ self._vector_NI.T
            for row, product_N in enumerate(product_BN, start):
                item_BK[row] = largest(product_N, num)
                product_BK[row] = product_N[item_BK[row]]
        return item_BK, product_BK


def largest(values: npt.NDArray[np.float32], num: int) -> npt.NDArray[np.int64]:
    """Return the indices of the `num` largest, largest first, ties by smaller index.

    >>> largest(np.array([2, 7, 2, 9], np.float32), 3).tolist()
    [3, 1, 0]
    """
    if 0 < num < len(values):
        found = np.flatnonzero(values >= _bound(values, num))
    else:
        found = np.arange(len(values))
    return found[np.argsort(-values[found], kind="stable")][:num]


def _bound(values: npt.NDArray[np.float32], num: int) -> np.float32:
    """A value that at least `num` of the values reach, and mostly few more than these.

    So many groups have a member that reaches the `num`-th largest of the groups' largest members.
    """
    size = max(1, len(values) // (_GROUPS * num))
    num_groups = len(values) // size
    largest_of_groups = values[: size * num_groups].reshape(size, num_groups).max(axis=0)
    bound: np.float32 = np.partition(largest_of_groups, num_groups - num)[num_groups - num]
    return bound
