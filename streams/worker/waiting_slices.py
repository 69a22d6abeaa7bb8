"""Which slices have come and are not worked on yet?

While one slice of a partition is written, the next ones come, of a few events each. Together they
are one step's work: a step costs little more for many events than for one. Of large ones only a
few are let in, because whoever stops or gives partitions up finishes what is here first.
"""

from __future__ import annotations

import asyncio
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
        """Begin with none."""
        self._num_unfinished = 0
        self._finished = asyncio.Event()
        self._waiting: dict[int, deque[tuple[Slice, Callable[[], object]]]] = {}

    async def put(self, slice_: Slice, ack: Callable[[], object], *, max_records: int) -> None:
        """Let a slice wait, once there is room.

        Args:
            slice_: The slice.
            ack: To be called when it is written.
            max_records: While so many have been put and not finished, this one is not.
        """
        while self._num_unfinished >= max_records:
            self._finished.clear()
            await self._finished.wait()
        self._num_unfinished += slice_.num_records
        self._waiting.setdefault(slice_.partition, deque()).append((slice_, ack))

    def finish(self, taken: Taken) -> None:
        """Acknowledge what was taken: it is written."""
        for ack in taken.acks:
            ack()
        self._num_unfinished -= taken.slice_.num_records
        self._finished.set()

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
