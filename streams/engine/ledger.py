"""Which slices are delivered and not finished, and how far is each partition done?"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from faust.types import TP

from streams.engine.slices import SliceMessage


class PartitionProgress(NamedTuple):
    """How far one partition of ours has come."""

    next_offset: int
    """Offset after the last finished slice, or the start position."""
    log_end: int
    """The log's end when the broker was last heard of; open transactions lie behind it."""

    @property
    def lag(self) -> int:
        """Events that wait, including the slice in progress."""
        return max(0, self.log_end - self.next_offset)


class Ledger:
    """Books deliveries and their ends, in order of delivery, for each partition.

    A slice that is finished before an earlier one of its partition counts only once that is
    finished too. What is finished is read off the messages, which Faust marks as acknowledged.
    """

    def __init__(self) -> None:
        self._unfinished: dict[TP, deque[SliceMessage]] = {}
        self._next_offsets: dict[TP, int] = {}
        self._log_ends: dict[TP, int] = {}

    def start(self, tp: TP, offset: int) -> None:
        """Begin a partition, or begin it anew; what was unfinished is no longer expected."""
        self._unfinished[tp] = deque()
        self._next_offsets[tp] = offset

    def deliver(self, message: SliceMessage) -> None:
        """Book a delivery of a partition that was begun."""
        self._unfinished[message.tp].append(message)

    def num_unfinished(self, tp: TP) -> int:
        """Slices of a partition that are delivered and not finished."""
        unfinished = self._unfinished.get(tp)
        if unfinished is None:
            return 0
        while unfinished and unfinished[0].acked:
            self._next_offsets[tp] = unfinished.popleft().next_offset
        return len(unfinished)

    def next_offset(self, tp: TP) -> int | None:
        """End of the finished slices before the first unfinished one; None if not begun."""
        self.num_unfinished(tp)
        return self._next_offsets.get(tp)

    def pass_hole(self, tp: TP, offset: int) -> None:
        """Count offsets as done that yield no record, such as the end of a transaction.

        Without it the last of them would be a lag that no handler can ever work off.
        """
        if tp in self._next_offsets and not self.num_unfinished(tp):
            self._next_offsets[tp] = max(offset, self._next_offsets[tp])

    def note_log_end(self, tp: TP, log_end: int) -> None:
        """Remember where a log ends; an answer that comes late takes nothing back."""
        if tp in self._next_offsets:
            self._log_ends[tp] = max(log_end, self._log_ends.get(tp, 0))

    def forget(self, tps: Iterable[TP]) -> None:
        """End partitions that are not ours any more."""
        for tp in tps:
            self._unfinished.pop(tp, None)
            self._next_offsets.pop(tp, None)
            self._log_ends.pop(tp, None)

    @property
    def partitions(self) -> list[TP]:
        """Those that were begun. Safe from any thread."""
        return list(self._next_offsets)

    def progress(self) -> dict[TP, PartitionProgress]:
        """How far each partition has come. Safe from any thread."""
        return {
            tp: PartitionProgress(offset, self._log_ends.get(tp, offset))
            for tp, offset in list(self._next_offsets.items())
        }
