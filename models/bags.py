"""Which items has each user acted upon, each once, the newest first?

A bag forgets how often and when; here it still knows in which order, so that whoever reads it may
let the older items weigh less. No torch: the linear model needs none.

Shape letters: U users, Z items of all bags, S items of a sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.history import History
from models.recommender import UserSequence, item_sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class Bags:
    """The distinct items of U users, bag after bag.

    Attributes:
        item_Z: item codes, those of a bag together, its newest first; int64.
        begin_U: where each bag begins; one more entry, the end.
    """

    item_Z: npt.NDArray[np.int64]
    begin_U: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.begin_U) - 1

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Number of items of each bag, `[U]`."""
        return np.diff(self.begin_U)

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """How many items of its bag are newer than each item, `[Z]`."""
        return np.arange(len(self.item_Z)) - np.repeat(self.begin_U[:-1], self.sizes)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """The bag of each item, `[Z]`."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def select(self, chosen: npt.NDArray[np.int64]) -> "Bags":
        """Return the chosen bags, in that order."""
        begin_U = np.r_[0, np.cumsum(self.sizes[chosen])]
        moved = np.repeat(self.begin_U[chosen] - begin_U[:-1], self.sizes[chosen])
        return Bags(item_Z=self.item_Z[moved + np.arange(begin_U[-1])], begin_U=begin_U)


def user_bags(history: History) -> Bags:
    """Return the bag of every user with an item, in the order of the users' hashes."""
    order_R, begin_U = item_sequences(history)
    return _bags(history.items[order_R].astype(np.int64), begin_U)


def sequence_bags(sequences: Sequence[UserSequence]) -> Bags:
    """Return the bag of each sequence, which may be empty; unknown items are left out."""
    known = [sequence.items[sequence.items >= 0] for sequence in sequences]
    begin_U = np.r_[0, np.cumsum([len(items_S) for items_S in known], dtype=np.int64)]
    return _bags(np.concatenate([np.empty(0, np.int64), *known]), begin_U)


def row_bags(item_BK: npt.NDArray[np.int64]) -> Bags:
    """Return the bag of each row of item codes, newest first and -1 for none.

    >>> bags = row_bags(np.array([[4, 2, 4], [-1, -1, -1], [1, -1, -1]]))
    >>> bags.item_Z.tolist(), bags.sizes.tolist()
    ([4, 2, 1], [2, 0, 1])
    """
    known_BK = item_BK[:, ::-1] >= 0
    return _bags(item_BK[:, ::-1][known_BK], np.r_[0, np.cumsum(known_BK.sum(1))])


def recency_weights(bags: Bags, half_life: float | None) -> npt.NDArray[np.float32]:
    """Return how much each item counts, `[Z]`: 1 for the newest, all alike without a half-life.

    >>> bags = Bags(item_Z=np.array([7, 3, 5]), begin_U=np.array([0, 2, 3]))
    >>> recency_weights(bags, 1.0).tolist(), recency_weights(bags, None).tolist()
    ([1.0, 0.5, 1.0], [1.0, 1.0, 1.0])

    Raises:
        ValueError: the half-life is not above 0.
    """
    if half_life is None:
        return np.ones(len(bags.item_Z), np.float32)
    if half_life <= 0:
        raise ValueError(f"half_life is {half_life}; above 0 expected, or none at all")
    return np.exp2(-bags.places / half_life).astype(np.float32)


def unit_length(bags: Bags, weight_Z: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the weights, each bag's scaled to length 1.

    >>> bags = Bags(item_Z=np.array([4, 2, 9]), begin_U=np.array([0, 2, 2, 3]))
    >>> unit_length(bags, np.array([3, 4, 5], np.float32)).round(2).tolist()
    [0.6000000238418579, 0.800000011920929, 1.0]
    """
    owner_Z = bags.owners
    length_U = np.sqrt(np.bincount(owner_Z, np.square(weight_Z), len(bags)))
    return (weight_Z / length_U[owner_Z]).astype(np.float32)


def _bags(item_R: npt.NDArray[np.int64], begin_U: npt.NDArray[np.int64]) -> Bags:
    """Keep the newest of the rows that a user has on an item."""
    num_users = len(begin_U) - 1
    # From the last row to the first, so that the first of each pair is its newest.
    owner_R = np.repeat(np.arange(num_users), np.diff(begin_U))[::-1]
    item_R = item_R[::-1]
    width = int(item_R.max(initial=0)) + 1
    _, newest = np.unique(owner_R * width + item_R, return_index=True)
    newest.sort()
    newest = newest[np.argsort(owner_R[newest], kind="stable")]
    sizes_U = np.bincount(owner_R[newest], minlength=num_users)
    return Bags(item_Z=item_R[newest], begin_U=np.r_[0, np.cumsum(sizes_U)])
