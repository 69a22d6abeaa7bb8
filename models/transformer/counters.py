"""What did the counters say before each action?

The counters' log-scores are inputs of the transformer, and each target must see the counters as of
earlier offsets only. They cannot be recomputed later, since they live on and decay; so whoever
folds them while reading the log writes down here, for each action, the co-visitation list of that
moment, and every minute a snapshot of all items' popularity.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_NONE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterInputs:
    """Counter log-scores for P targets over N items; T popularity snapshots, K listed items.

    Attributes:
        popularity_TN: log-score of every item in each snapshot used; float32, finite.
        snapshot_P: which snapshot each target sees.
        item_PK: the items that co-visitation lists for the target, -1 where fewer; int64.
        lift_PK: their co-visitation log-score minus their popularity log-score; float32. An item
            not listed is missing: its logit gets neither the lift nor the flag.
    """

    popularity_TN: npt.NDArray[np.float32]
    snapshot_P: npt.NDArray[np.int64]
    item_PK: npt.NDArray[np.int64]
    lift_PK: npt.NDArray[np.float32]


class CounterLog:
    """The counters' answers for the newest rows of a history, in the history's item codes.

    Rows are appended in order with the history's own row numbers; a row that was never appended
    reads the latest snapshot before it and an empty list. Of a row before all snapshots, as after
    a restart in the middle of the history, nothing is known: what came later is never shown to it.
    """

    def __init__(self, *, capacity: int, num_listed: int = 32, floor: float = -10.0) -> None:
        """Start empty.

        Args:
            capacity: how many rows are kept, the newest.
            num_listed: K, the most co-visited items kept for a row.
            floor: log-score of items that a snapshot does not cover.
        """
        self.capacity = capacity
        self.num_listed = num_listed
        self.floor = floor
        self._begin_row = 0
        self._end_row = 0
        self._items = np.full((capacity, num_listed), _NONE, np.int32)
        self._lifts = np.zeros((capacity, num_listed), np.float32)
        self._snapshot_rows: deque[int] = deque()
        self._snapshots: deque[npt.NDArray[np.float32]] = deque()

    @property
    def first_row(self) -> int:
        """The oldest row whose list is still kept; of a log that begins late, its first."""
        return max(self._begin_row, self._end_row - self.capacity)

    def append_snapshot(self, row: int, popularity: npt.NDArray[np.float32]) -> None:
        """Note every item's popularity log-score, valid for rows from `row` on."""
        if not self._snapshots:
            self._begin_row = row
        self._snapshot_rows.append(row)
        self._snapshots.append(popularity.astype(np.float32))
        while len(self._snapshot_rows) > 1 and self._snapshot_rows[1] <= self.first_row:
            self._snapshot_rows.popleft()
            self._snapshots.popleft()

    def append_row(
        self, row: int, items: npt.NDArray[np.integer], lifts: npt.NDArray[np.floating]
    ) -> None:
        """Note co-visitation's items for the action of one row, best first.

        Args:
            row: of the action.
            items: their codes.
            lifts: co-visitation's log-score minus popularity's, both as of before the action.
        """
        if row < self._end_row:
            raise ValueError(f"row {row} comes after row {self._end_row - 1}: append in order")
        for skipped in range(max(self._end_row, row - self.capacity), row):
            self._items[skipped % self.capacity] = _NONE
        slot = row % self.capacity
        num = min(len(items), self.num_listed)
        self._items[slot] = _NONE
        self._items[slot, :num] = items[:num]
        self._lifts[slot, :num] = lifts[:num]
        self._end_row = row + 1

    def renumber(self, new_code: npt.NDArray[np.int32]) -> None:
        """Follow `History.compact`: give items their new codes and forget the retired."""
        known = self._items >= 0
        self._items[known] = new_code[self._items[known]]
        kept = np.flatnonzero(new_code >= 0)
        self._snapshots = deque(
            snapshot[kept[kept < len(snapshot)]] for snapshot in self._snapshots
        )

    def inputs(self, rows_P: npt.NDArray[np.int64], num_items: int) -> CounterInputs:
        """Return what the counters said before each of the rows, for items `0..num_items-1`."""
        if not self._snapshots:
            return empty_counters(len(rows_P), num_items)
        used, snapshot_P = np.unique(self._snapshot_of(rows_P), return_inverse=True)
        popularity_TN = np.full((len(used), num_items), self.floor, np.float32)
        for target, source in zip(popularity_TN, used, strict=True):
            if source != _NONE:
                snapshot = self._snapshots[source]
                target[: len(snapshot)] = snapshot[:num_items]
        slot_P = rows_P % self.capacity
        kept_P = (rows_P >= self.first_row) & (rows_P < self._end_row)
        return CounterInputs(
            popularity_TN=popularity_TN,
            snapshot_P=snapshot_P.astype(np.int64),
            item_PK=np.where(kept_P[:, None], self._items[slot_P], _NONE).astype(np.int64),
            lift_PK=self._lifts[slot_P],
        )

    def num_covered(self, rows_P: npt.NDArray[np.int64], num_items: int) -> npt.NDArray[np.int64]:
        """Return how many items each row's snapshot covers.

        Items of a later code had not been acted upon then, so that no counter could know them.
        Rows without a snapshot say nothing about that: all items.
        """
        # The last one is that of the rows without a snapshot.
        sizes = np.array([*map(len, self._snapshots), num_items])
        covered_P: npt.NDArray[np.int64] = sizes[self._snapshot_of(rows_P)].clip(max=num_items)
        return covered_P

    def _snapshot_of(self, rows_P: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the latest snapshot before each row, `_NONE` (the place -1) without one."""
        after_P = np.searchsorted(np.asarray(self._snapshot_rows), rows_P, side="right")
        return (after_P - 1).astype(np.int64)


def empty_counters(num_rows: int, num_items: int) -> CounterInputs:
    """Return inputs that say nothing: every logit is left as it is."""
    return CounterInputs(
        popularity_TN=np.zeros((1, num_items), np.float32),
        snapshot_P=np.zeros(num_rows, np.int64),
        item_PK=np.full((num_rows, 0), _NONE, np.int64),
        lift_PK=np.zeros((num_rows, 0), np.float32),
    )
