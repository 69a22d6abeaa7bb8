"""Where does the vector of an item begin that training has never seen?

At the mean of the items that the same users acted upon just before and just after it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.history import History


def first_vectors(
    history: History, known_ids: Sequence[str], vectors: npt.NDArray[np.float32]
) -> dict[str, npt.NDArray[np.float32]]:
    """Return a vector for each item of the history that is not among the known ones.

    Args:
        history: rows to look for neighbours in.
        known_ids: item ids of the rows of `vectors`.
        vectors: their unit vectors.

    Returns:
        Mean of the neighbours' vectors by item id; nothing for an item without a known neighbour.
    """
    row_of = {item: row for row, item in enumerate(known_ids)}
    known_row_N = np.array([row_of.get(item, -1) for item in history.item_ids], np.int64)
    if not len(known_row_N) or (known_row_N >= 0).all():
        return {}
    order = np.argsort(history.users, kind="stable")
    users = history.users[order]
    items = history.items[order]
    adjacent = (users[1:] == users[:-1]) & (items[1:] >= 0) & (items[:-1] >= 0)
    earlier, later = items[:-1][adjacent], items[1:][adjacent]
    target = np.concatenate([earlier, later])
    neighbour = np.concatenate([later, earlier])
    useful = (known_row_N[target] < 0) & (known_row_N[neighbour] >= 0)
    target, neighbour = target[useful], known_row_N[neighbour[useful]]
    codes, slot = np.unique(target, return_inverse=True)
    sums = np.zeros((len(codes), vectors.shape[1]), np.float32)
    np.add.at(sums, slot, vectors[neighbour])
    return {
        history.item_ids[code]: total / max(float(np.linalg.norm(total)), 1e-12)
        for code, total in zip(codes, sums, strict=True)
    }
