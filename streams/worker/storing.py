"""How does a worker read and write the store, and what does it do while the store is away?

It waits: every call is repeated until it is answered. A commit whose answer was lost may have
taken effect; the store then says that it stands where this worker wanted it, and that is success.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from featurestore.codec import decode_state, encode_state
from featurestore.events import UserId
from featurestore.lists import RecommendationList, encode_list
from featurestore.state import UserState
from featurestore.store import (
    Ahead,
    Checkpoint,
    CommitResult,
    Committed,
    Missing,
    Store,
    StoreUnavailable,
)
from streams.errors import RestartNeeded
from streams.retrying import until_answered
from streams.worker.accounting import WorkerAccounts

T = TypeVar("T")


class WorkerStore:
    """The store as a worker uses it; every method blocks until it is answered."""

    def __init__(
        self, store: Store, accounts: WorkerAccounts, *, ttl_ms: int, max_pause_s: float
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._ttl_ms = ttl_ms
        self._max_pause_s = max_pause_s

    async def record_partitions(self, topic: str, num_partitions: int) -> int:
        """See `Store`."""
        return await self._ask(
            "checkpoint", lambda: self._store.record_partitions(topic, num_partitions)
        )

    async def checkpoint(self, topic: str, partition: int) -> Checkpoint | None:
        """See `Store`."""
        return await self._ask("checkpoint", lambda: self._store.checkpoint(topic, partition))

    async def load(self, partition: int, user_ids: Sequence[UserId]) -> dict[UserId, UserState]:
        """Return the states of those users who have one."""
        values = await self._ask("load", lambda: self._store.load_states(partition, user_ids))
        return {
            user_id: decode_state(value)
            for user_id, value in zip(user_ids, values, strict=True)
            if value is not None
        }

    async def commit(
        self,
        partition: int,
        expected: Checkpoint | None,
        new: Checkpoint,
        states: Mapping[UserId, UserState],
        lists: Mapping[UserId, RecommendationList],
    ) -> Checkpoint | None:
        """Write states, lists and checkpoint in one atomic step, or nothing.

        Returns:
            None for success, or the checkpoint of another owner that stands further on.

        Raises:
            RestartNeeded: The checkpoint is gone or behind: the store was flushed or restored.
        """
        encoded = {user_id: encode_state(state) for user_id, state in states.items()}
        encoded_lists = {user_id: encode_list(made) for user_id, made in lists.items()}

        def write() -> Awaitable[CommitResult]:
            return self._store.commit(
                partition, expected, new, encoded, encoded_lists, self._ttl_ms
            )

        match await self._ask("commit", write):
            case Committed():
                return None
            case Ahead(current):
                return None if current == new else current
            case Missing(current):
                raise RestartNeeded(
                    f"the checkpoint of partition {partition} is {current}, expected {expected}: "
                    "the store was flushed or restored under this worker; starting again from "
                    "what the store holds"
                )

    async def _ask(self, command: str, call: Callable[[], Awaitable[T]]) -> T:
        return await until_answered(
            call,
            transient=StoreUnavailable,
            max_pause_s=self._max_pause_s,
            on_fault=self._accounts.store_failed,
            durations=self._accounts.metrics.redis.command_duration.of(command),
        )
