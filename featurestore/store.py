"""What a store of states, lists and online models promises, and the store that defines it.

`MemoryStore` is the executable specification: the contract tests run on it and on `RedisStore`
alike. All keys and values are bytes to the store; it judges nothing but versions.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from featurestore.checkpoint import (
    MAX_LISTS_PER_COMMIT,
    Ahead,
    Checkpoint,
    CommitResult,
    Committed,
    Missing,
    check_num_lists,
    judged,
)
from featurestore.errors import FeatureStoreError
from featurestore.events import UserId
from featurestore.keys import (
    checkpoint_key,
    partitions_key,
    recommendations_key,
    state_key,
)

__all__ = [
    "BEFORE_ALL_DELTAS",
    "MAX_LISTS_PER_COMMIT",
    "Ahead",
    "Base",
    "Checkpoint",
    "CommitResult",
    "Committed",
    "Delta",
    "MemoryStore",
    "Missing",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
]

BEFORE_ALL_DELTAS: Final = "0-0"
"""The id to read deltas after in order to get all that are held."""


class StoreError(FeatureStoreError):
    """Root of what a store raises."""


class StoreUnavailable(StoreError):
    """The store did not answer, or not in time; the call may or may not have taken effect.

    Trying again is safe: a commit that did take effect is then answered with `Ahead`.
    """


class StoreCorrupt(StoreError):
    """The store answered with something that Headrace did not write; trying again is no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The online models as the learner last saved them whole.

    Attributes:
        version: counts the saves, from 1; whoever saves or appends names the one that he knows.
        offset: of `examples` that the payload stands for (exclusive).
        payload: the models.
        meta: what the learner needs besides to go on.
    """

    version: int
    offset: int
    payload: bytes
    meta: bytes


class Delta(NamedTuple):
    """What the records `from_offset` ≤ offset < `to_offset` of `examples` changed."""

    id: str
    from_offset: int
    to_offset: int
    payload: bytes


class Store(Protocol):
    """Where states, lists, checkpoints and the online models stand.

    Every method may raise `StoreUnavailable`, after a deadline at the latest, and `StoreCorrupt`.
    """

    async def checkpoint(self, topic: str, partition: int) -> Checkpoint | None:
        """Return where a partition's states stand; None before its first commit."""
        ...

    async def load_states(self, partition: int, user_ids: Sequence[UserId]) -> list[bytes | None]:
        """Return the users' encoded states in the order asked for; None for a new user."""
        ...

    async def commit(
        self,
        partition: int,
        expected: Checkpoint | None,
        new: Checkpoint,
        states: Mapping[UserId, bytes],
        lists: Mapping[UserId, bytes],
        ttl_ms: int,
    ) -> CommitResult:
        """Write states, lists and the checkpoint in one atomic step, or nothing.

        Args:
            partition: whose.
            expected: the checkpoint that must stand there now, exactly; None for none.
            new: the checkpoint afterwards.
            states: encoded, by user; each lives `ttl_ms` from now.
            lists: encoded, by user; at most 64, each lives `ttl_ms` from now.
            ttl_ms: at least 1.

        Raises:
            ValueError: for more than 64 lists.
        """
        ...

    async def record_partitions(self, topic: str, num_partitions: int) -> int:
        """Record a topic's number of partitions if none is recorded; return the recorded one."""
        ...

    async def get_list(self, user_id: UserId) -> bytes | None:
        """Return a user's encoded list; None if there is none or it has expired."""
        ...

    async def get_shared(self, key: bytes) -> bytes | None:
        """Return a list that is no user's own; None if there is none or it has expired."""
        ...

    async def put_shared(self, lists: Mapping[bytes, bytes], *, ttl_ms: int) -> None:
        """Replace lists that are no user's own: what is popular, what is similar.

        Args:
            lists: By their keys, at most `MAX_LISTS_PER_COMMIT`.
            ttl_ms: After which they expire.
        """
        ...

    async def load_base(self) -> Base | None:
        """Return the saved online models; None before the first save."""
        ...

    async def save_base(
        self, *, expected_version: int, offset: int, payload: bytes, meta: bytes
    ) -> bool:
        """Save the online models whole, as version `expected_version` + 1.

        Deltas that end at or before `offset` are dropped: base and deltas together always reach
        from the base's offset to the newest delta.

        Args:
            expected_version: of the base that must stand there now; 0 for none.
            offset: of `examples` that the payload stands for.
            payload: the models.
            meta: what the learner needs besides.

        Returns:
            False if another version stands there; nothing is written then.
        """
        ...

    async def append_delta(
        self, *, expected_version: int, from_offset: int, to_offset: int, payload: bytes
    ) -> bool:
        """Append a delta for the replicas; the same range as the last one's is not repeated.

        Args:
            expected_version: of the base that must stand there now; 0 for none.
            from_offset: first record of `examples` in it.
            to_offset: first record no longer in it.
            payload: absolute values of what changed.

        Returns:
            False if another version stands there: another learner has taken over.
        """
        ...

    async def read_deltas(self, after_id: str, block_ms: int) -> list[Delta]:
        """Return some of the deltas after `after_id`, oldest first.

        Waits up to `block_ms` for one if there is none; 0 does not wait.
        """
        ...

    async def close(self) -> None:
        """Give back what the store holds open; it is of no use afterwards."""
        ...


class MemoryStore:
    """A store in this process's memory, gone with it.

    Args:
        topic: of the events.
        now_ms: the clock by which values expire; without one none does.
    """

    def __init__(self, *, topic: str = "events", now_ms: Callable[[], int] = lambda: 0) -> None:
        self._topic = topic
        self._now_ms = now_ms
        self._values: dict[bytes, tuple[bytes, int | None]] = {}
        self._checkpoints: dict[bytes, Checkpoint] = {}
        self._base: Base | None = None
        self._deltas: list[Delta] = []
        self._num_appended = 0
        self._appended = asyncio.Condition()

    async def checkpoint(self, topic: str, partition: int) -> Checkpoint | None:
        """See `Store`."""
        return self._checkpoints.get(checkpoint_key(topic, partition))

    async def load_states(self, partition: int, user_ids: Sequence[UserId]) -> list[bytes | None]:
        """See `Store`."""
        return [self._get(state_key(self._topic, partition, user_id)) for user_id in user_ids]

    async def commit(
        self,
        partition: int,
        expected: Checkpoint | None,
        new: Checkpoint,
        states: Mapping[UserId, bytes],
        lists: Mapping[UserId, bytes],
        ttl_ms: int,
    ) -> CommitResult:
        """See `Store`."""
        check_num_lists(len(lists))
        at = checkpoint_key(self._topic, partition)
        current = self._checkpoints.get(at)
        if current != expected:
            return judged(current, expected)
        expires_ms = self._now_ms() + ttl_ms
        for user_id, value in states.items():
            self._values[state_key(self._topic, partition, user_id)] = value, expires_ms
        for user_id, value in lists.items():
            self._values[recommendations_key(user_id)] = value, expires_ms
        self._checkpoints[at] = new
        return Committed()

    async def record_partitions(self, topic: str, num_partitions: int) -> int:
        """See `Store`."""
        recorded = b"%d" % num_partitions
        return int(self._values.setdefault(partitions_key(topic), (recorded, None))[0])

    async def get_list(self, user_id: UserId) -> bytes | None:
        """See `Store`."""
        return self._get(recommendations_key(user_id))

    async def get_shared(self, key: bytes) -> bytes | None:
        """See `Store`."""
        return self._get(key)

    async def put_shared(self, lists: Mapping[bytes, bytes], *, ttl_ms: int) -> None:
        """See `Store`."""
        check_num_lists(len(lists))
        expires_ms = self._now_ms() + ttl_ms
        self._values.update({key: (value, expires_ms) for key, value in lists.items()})

    async def load_base(self) -> Base | None:
        """See `Store`."""
        return self._base

    async def save_base(
        self, *, expected_version: int, offset: int, payload: bytes, meta: bytes
    ) -> bool:
        """See `Store`."""
        if expected_version != self._version:
            return False
        self._base = Base(version=expected_version + 1, offset=offset, payload=payload, meta=meta)
        while self._deltas and self._deltas[0].to_offset <= offset:
            del self._deltas[0]
        return True

    async def append_delta(
        self, *, expected_version: int, from_offset: int, to_offset: int, payload: bytes
    ) -> bool:
        """See `Store`."""
        if expected_version != self._version:
            return False
        last = self._deltas[-1] if self._deltas else None
        if last is None or (last.from_offset, last.to_offset) != (from_offset, to_offset):
            self._num_appended += 1
            delta = Delta(f"{self._num_appended}-0", from_offset, to_offset, payload)
            self._deltas.append(delta)
            async with self._appended:
                self._appended.notify_all()
        return True

    async def read_deltas(self, after_id: str, block_ms: int) -> list[Delta]:
        """See `Store`."""
        if block_ms and not self._deltas_after(after_id):
            async with self._appended:
                try:
                    async with asyncio.timeout(block_ms / 1000):
                        await self._appended.wait_for(lambda: self._deltas_after(after_id))
                except TimeoutError:
                    return []
        return self._deltas_after(after_id)

    async def close(self) -> None:
        """See `Store`."""

    @property
    def _version(self) -> int:
        return 0 if self._base is None else self._base.version

    def _get(self, key: bytes) -> bytes | None:
        value, expires_ms = self._values.get(key, (None, None))
        if expires_ms is not None and self._now_ms() >= expires_ms:
            del self._values[key]
            return None
        return value

    def _deltas_after(self, after_id: str) -> list[Delta]:
        after = _number(after_id)
        return [delta for delta in self._deltas if _number(delta.id) > after]


def _number(delta_id: str) -> int:
    return int(delta_id.partition("-")[0])
