"""Which item did each user take next, and what had come before it?

The next action and not one held out at random: whoever predicts it sees nothing that came later
(Covington et al. 2016, section 3.4). An action on an item that the user has acted upon before is no
example, since lists leave such items out.

Shape letters: R rows of the log with an item, E examples, B examples of a batch, K newest items.
"""

import numpy as np
import numpy.typing as npt
from torch import nn

from models.history import History
from models.neural.learning import BatchLearner, LearningConfig
from models.recommender import UNKNOWN_ITEM, item_sequences


class NextActions:
    """The examples of a log, by number from 0: each user's first action on each item.

    Attributes:
        target_E: item code of each example; int64.
        user_E: `hash_user` of its user; uint64.
        owner_E: number of its user, from 0, ascending; int64.
        time_E: the user's clock, seconds since the epoch; int64.
        asked_E: when its list was made, 0 where that is untold; int64.
        context_EC: context codes of that moment; uint8.
    """

    def __init__(self, history: History) -> None:
        """Find the examples; the history is not changed."""
        order_R, begin_U = item_sequences(history)
        self._item_R = history.items[order_R].astype(np.int64)
        owner_R = np.repeat(np.arange(len(begin_U) - 1), np.diff(begin_U))
        width = max(len(history.item_ids), 1)
        # The first of equal pairs is the oldest, since a user's rows are in log order.
        _, first_E = np.unique(owner_R * width + self._item_R, return_index=True)
        self._row_E = np.sort(first_E)
        self.owner_E = owner_R[self._row_E]
        self._begin_E = begin_U[self.owner_E]
        self.target_E = self._item_R[self._row_E]
        self.user_E = history.users[order_R[self._row_E]]
        self.time_E = history.times_s[order_R[self._row_E]].astype(np.int64)
        self.asked_E = history.asked_s[order_R[self._row_E]].astype(np.int64)
        self.context_EC = history.contexts[order_R[self._row_E]]

    def __len__(self) -> int:
        return len(self.target_E)

    def items_before(self, example_B: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
        """Return the codes of the `length` items before each, newest first, -1 for none, `[B, K]`.

        An item that the user has acted upon twice is there twice.
        """
        row_BK = self._row_E[example_B, None] - np.arange(1, length + 1)
        inside_BK = row_BK >= self._begin_E[example_B, None]
        return np.where(inside_BK, self._item_R[np.maximum(row_BK, 0)], UNKNOWN_ITEM)


class NextActionLearner(BatchLearner):
    """One fit whose examples are next actions."""

    def __init__(
        self, network: nn.Module, history: History, config: LearningConfig, seed: int
    ) -> None:
        """Begin a fit."""
        super().__init__(network, config, seed)
        self._actions = NextActions(history)
        self._num_items = len(history.item_ids)
        self._num_targets_N = np.bincount(self._actions.target_E, minlength=self._num_items)

    def __len__(self) -> int:
        return len(self._actions)


def ages(time_E: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the age of each example as a share of the log's span; 0 where nothing has a time.

    >>> ages(np.array([100, 150, 200])).tolist()
    [1.0, 0.5, 0.0]
    """
    age_E = time_E.max(initial=0) - time_E
    share_E: npt.NDArray[np.float64] = age_E / max(int(age_E.max(initial=0)), 1)
    return share_E.astype(np.float32)


def equal_shares(
    owner_E: npt.NDArray[np.int64], most: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return as many examples of each owner, at random, none again before all have been drawn.

    So many as an owner has in the mean, rounded up, and at most `most`: a pass over owners of few
    examples is a pass, and not ten.

    Args:
        owner_E: number of each example's owner, from 0, ascending; every owner has an example.
        most: how many of each, at most.
        generator: draws.
    """
    # Shuffled within each owner, whose examples stay together.
    shuffled_E = np.lexsort((generator.random(len(owner_E)), owner_E))
    num_U = np.bincount(owner_E)
    num = min(most, -(-len(owner_E) // len(num_U)))
    place_UX = np.arange(num) % num_U[:, None] + (np.cumsum(num_U) - num_U)[:, None]
    return shuffled_E[place_UX.ravel()]
