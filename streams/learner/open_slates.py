"""Which slates still wait for an answer, and which of them has waited too long?

A slate leaves when it is answered (`close`), when the clock of its own source partition has passed
its deadline, or when there are too many: then the oldest goes. Everything here depends only on what
was added at or after the slate in question, so a join that is refilled from any record onwards
holds exactly those slates of the continuous one that were opened from there on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

PartitionKey: TypeAlias = tuple[str, int]
"""Topic id and number of a partition of `events`: a recreated topic is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateCaps:
    """How much may be open; 100,000 slates of 20 items with 32 features each take some 400 MB.

    Attributes:
        max_per_partition: Most open slates of one source partition.
        max_total: Most open slates of all partitions.
        max_records: A slate is given up when so many records of `examples` came after its own: a
            partition that has gone quiet must not make a restart read the log from its start.
    """

    max_per_partition: int = 50_000
    max_total: int = 100_000
    max_records: int = 1_000_000


class Waiting(Protocol):
    """What a slate must tell about itself."""

    partition: PartitionKey
    record_offset: int
    """Offset in `examples` of the record that opened it."""
    deadline_ms: int
    is_open: bool


SlateT = TypeVar("SlateT", bound=Waiting)
_NUM_SPARE: Final = 1_000


class OpenSlates(Generic[SlateT]):
    """Open slates, oldest first; deadlines of one partition must not decrease."""

    __slots__ = ("_caps", "_in_order", "_num_open", "_num_open_by_partition", "_of_partition")

    def __init__(self, caps: SlateCaps) -> None:
        self._caps = caps
        self._in_order: deque[SlateT] = deque()
        self._of_partition: dict[PartitionKey, deque[SlateT]] = {}
        self._num_open_by_partition: dict[PartitionKey, int] = {}
        self._num_open = 0

    def __len__(self) -> int:
        return self._num_open

    def add(self, slate: SlateT) -> list[SlateT]:
        """Take a slate in, and return those, now closed, that had to go for it."""
        partition = slate.partition
        queue = self._of_partition.get(partition)
        if queue is None:
            queue = self._of_partition[partition] = deque()
            self._num_open_by_partition[partition] = 0
        queue.append(slate)
        self._in_order.append(slate)
        self._num_open += 1
        self._num_open_by_partition[partition] += 1
        evicted: list[SlateT] = []
        if self._num_open_by_partition[partition] > self._caps.max_per_partition:
            evicted.append(self._close_first(queue))
        if self._num_open > self._caps.max_total:
            evicted.append(self._close_first(self._in_order))
        return evicted

    def close(self, slate: SlateT) -> None:
        """Take out an open slate that was answered or replaced."""
        partition = slate.partition
        slate.is_open = False
        self._num_open -= 1
        self._num_open_by_partition[partition] -= 1
        # Behind one that waits long, any number of closed ones would be kept.
        _tidy(self._in_order, self._num_open)
        _tidy(self._of_partition[partition], self._num_open_by_partition[partition])

    def expire(self, partition: PartitionKey, now_ms: int) -> list[SlateT]:
        """Close and return the partition's slates whose deadline has passed, oldest first.

        At the very millisecond of its deadline a slate can still be answered.
        """
        queue = self._of_partition.get(partition)
        expired: list[SlateT] = []
        while queue and (not queue[0].is_open or queue[0].deadline_ms < now_ms):
            slate = queue.popleft()
            if slate.is_open:
                self.close(slate)
                expired.append(slate)
        return expired

    def give_up(self, record_offset: int) -> list[SlateT]:
        """Close and return the slates whose record lies too far behind `record_offset`."""
        given_up: list[SlateT] = []
        while (slate := self.oldest()) and (
            record_offset - slate.record_offset >= self._caps.max_records
        ):
            self.close(slate)
            given_up.append(slate)
        return given_up

    def oldest(self) -> SlateT | None:
        """The open slate that was opened first."""
        queue = self._in_order
        while queue and not queue[0].is_open:
            queue.popleft()
        return queue[0] if queue else None

    def earliest_deadline_ms(self) -> int | None:
        """The least deadline of an open slate; goes through all."""
        return min((slate.deadline_ms for slate in self._in_order if slate.is_open), default=None)

    def drain(self) -> Iterator[SlateT]:
        """Close and yield all, oldest first."""
        while slate := self.oldest():
            self.close(slate)
            yield slate

    def _close_first(self, queue: deque[SlateT]) -> SlateT:
        while not queue[0].is_open:
            queue.popleft()
        slate = queue.popleft()
        self.close(slate)
        return slate


def _tidy(queue: deque[SlateT], num_open: int) -> None:
    """Drop closed slates once they outnumber the open ones: each costs the same on average."""
    if len(queue) > 2 * num_open + _NUM_SPARE:
        still_open = [one for one in queue if one.is_open]
        queue.clear()
        queue.extend(still_open)
