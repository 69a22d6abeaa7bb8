"""Which partitions are being worked on, and who must wait for that?

While a chunk of one partition is acknowledged by Kafka and written to the store, chunks of other
partitions are computed: at a few hundred events a second the worker would otherwise spend half of
its time waiting. A partition has one slice in work at most, so everything about one partition
still happens in order; what a crash leaves unwritten is repeated from the checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class WorkInFlight:
    """At most one piece of work a partition."""

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, partition: int, work: Coroutine[Any, Any, None]) -> None:
        """Run work beside the caller; the partition's former one must have ended."""
        if self.is_busy(partition):
            work.close()
            raise AssertionError(f"partition {partition} is being worked on")
        task = asyncio.create_task(work, name=f"work on partition {partition}")
        # Whoever fails has ended the process; nobody may wait for this task any more.
        task.add_done_callback(_observed)
        self._tasks[partition] = task

    def is_busy(self, partition: int) -> bool:
        """Whether the partition is being worked on."""
        task = self._tasks.get(partition)
        return task is not None and not task.done()

    async def settled(self, partition: int) -> None:
        """Wait for the partition's work, and raise what it raised. Any number may wait."""
        task = self._tasks.get(partition)
        if task is None:
            return
        # Not awaited itself: a waiter that is cancelled must not cancel the work.
        await asyncio.wait({task})
        if self._tasks.get(partition) is task:
            del self._tasks[partition]
        task.result()

    async def all_settled(self, *, timeout_s: float | None = None) -> bool:
        """Wait for all of them, however they end; say whether they have all ended in time.

        One that has not goes on: to cut it off would leave nobody knowing what it has written.
        """
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(self._tasks.values(), timeout=timeout_s)
        self._tasks = {
            partition: task for partition, task in self._tasks.items() if task in pending
        }
        return not pending


def _observed(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
