"""Which slices have come and are not worked on yet?

While one slice of a partition is written, the next ones come, of a few events each. Together they
are one step's work: a step costs little more for many events than for one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from streams.engine import Slice, joined


class Taken(NamedTuple):
    """Slices that are worked on as one.

    Attributes:
        slice_: All of them.
        acks: To be called when it is written.
    """

    slice_: Slice
    acks: list[Callable[[], object]]


class WaitingSlices:
    """The slices of each partition in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[tuple[Slice, Callable[[], object]]]] = {}

    def put(self, slice_: Slice, ack: Callable[[], object]) -> None:
        """Let a slice wait."""
        self._waiting.setdefault(slice_.partition, deque()).append((slice_, ack))

    def num_records(self, partition: int) -> int:
        """How many records of a partition wait; 0 if no slice does."""
        return sum(slice_.num_records for slice_, _ in self._waiting.get(partition, ()))

    def take(self, partition: int, *, max_records: int) -> Taken:
        """Take the first slice, and those behind it as far as they have `max_records` together."""
        waiting = self._waiting[partition]
        taken = [waiting.popleft()]
        num_records = taken[0][0].num_records
        while waiting and num_records + waiting[0][0].num_records <= max_records:
            num_records += waiting[0][0].num_records
            taken.append(waiting.popleft())
        return Taken(joined([slice_ for slice_, _ in taken]), [ack for _, ack in taken])
