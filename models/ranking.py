"""In which order are candidates shown? By score, with a cap on what is alike near the top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_CATEGORY = -1


def best_first(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Indices by falling score; equal scores keep their order, NaN comes last.

    >>> best_first(np.array([1.0, 3.0, np.nan, 3.0])).tolist()
    [1, 3, 0, 2]
    """
    return np.argsort(-scores, kind="stable")


def diversify(
    order: NDArray[np.int64], categories: NDArray[np.integer], cap: int, num: int
) -> NDArray[np.int64]:
    """The first `num` of `order` with at most `cap` of a category, as far as that fills the list.

    Stable: what stays keeps its order, and what the cap held back follows in its own order where
    the list would otherwise be short. Items of `NO_CATEGORY` are never held back; a `cap` of 0
    holds nothing back.

    Args:
        order: Indices into `categories`, best first.
        categories: Category of each candidate.
        cap: Most items of one category.
        num: Length of the list.

    >>> order = np.array([0, 1, 2, 3, 4])
    >>> diversify(order, np.array([7, 7, 7, 8, -1]), cap=2, num=4).tolist()
    [0, 1, 3, 4]
    >>> diversify(order, np.array([7, 7, 7, 8, -1]), cap=1, num=5).tolist()
    [0, 3, 4, 1, 2]
    """
    if cap <= 0:
        return order[:num]
    taken: dict[int, int] = {}
    kept: list[int] = []
    held: list[int] = []
    for index, category in zip(order.tolist(), categories[order].tolist(), strict=True):
        if len(kept) == num:
            break
        if category == NO_CATEGORY:
            kept.append(index)
        elif taken.get(category, 0) < cap:
            taken[category] = taken.get(category, 0) + 1
            kept.append(index)
        else:
            held.append(index)
    return np.array((kept + held)[:num], dtype=np.int64)
