"""In which order does a model that learns online go through a finished log, and who has seen what?

By time; actions of equal times by how manieth of their user they are, then in log order. A log
without times is so learned in rounds, everybody's first actions before anybody's second, and not
one whole user after the other.

Shape letters: Z actions on items, B actions of a call, K candidates of each,
C context names.
"""

import numpy as np
import numpy.typing as npt

from models.history import History
from models.recommender import item_sequences


class PassOrder:
    """A history's actions on items, in the order of learning.

    Attributes:
        users: hashed user of each action.
        items: its item code, int64.
        times_s: its time.
        contexts: of the moment that its list was made at, as in the history, `[Z, C]`.
    """

    def __init__(self, history: History) -> None:
        # Sorted by user; within a user in log order.
        rows, begin_U = item_sequences(history)
        sizes_U = np.diff(begin_U)
        place_Z = np.arange(len(rows)) - np.repeat(begin_U[:-1], sizes_U)
        number_Z = np.repeat(np.arange(len(sizes_U)), sizes_U)
        order = np.lexsort((rows, place_Z, history.times_s[rows]))
        rows = rows[order]
        self.users = history.users[rows]
        self.items = history.items[rows].astype(np.int64)
        self.times_s = history.times_s[rows]
        self.contexts = history.contexts[rows]
        self._number_Z = number_Z[order]
        self._num_items = len(history.item_ids)
        self._seen_Z = np.unique(self._number_Z * self._num_items + self.items)

    def __len__(self) -> int:
        return len(self.items)

    def unseen(self, taken: slice, item_BK: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the items with -1 in place of those that the action's user ever acts upon.

        Args:
            taken: which actions, B of them.
            item_BK: item codes.
        """
        key_BK = self._number_Z[taken, None] * self._num_items + item_BK
        place_BK = np.searchsorted(self._seen_Z, key_BK)
        found_BK = self._seen_Z[np.minimum(place_BK, len(self._seen_Z) - 1)] == key_BK
        unseen_BK: npt.NDArray[np.int64] = np.where(found_BK, -1, item_BK)
        return unseen_BK
