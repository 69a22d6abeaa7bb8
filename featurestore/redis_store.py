"""The store on a Redis (or Valkey) server, 7.0 or newer.

What must happen together is one Lua script. Every call has a deadline, and no call is repeated
here: whether to wait and try again is its caller's decision.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha1
from typing import Any, Final, Self, TypeVar

import msgspec
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from featurestore.checkpoint import (
    Checkpoint,
    CommitResult,
    Committed,
    check_num_lists,
    judged,
)
from featurestore.events import UserId
from featurestore.keys import (
    LEARNER_BASE,
    LEARNER_DELTAS,
    checkpoint_key,
    partitions_key,
    recommendations_key,
    state_keys,
)
from featurestore.redis_connection import connection_pool
from featurestore.store import Base, Delta, StoreCorrupt, StoreUnavailable

DEADLINE_S: Final = 5.0
MAX_STATES_PER_READ: Final = 512
MAX_DELTAS_PER_READ: Final = 64


_T = TypeVar("_T")


class _Script:
    """A Lua script, known to the server by its SHA-1."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


# The checkpoint goes last: should the server stop in between, it does not claim too much.
_COMMIT: Final = _Script("""
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return current end
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2])
return nil
""")

_PUT_LISTS: Final = _Script("""
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end
return nil
""")

_SAVE_BASE: Final = _Script("""
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if version ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'offset', ARGV[3], 'payload', ARGV[4],
           'meta', ARGV[5])
while true do
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not first or tonumber(first[2][4]) > tonumber(ARGV[3]) then return 1 end
  redis.call('XDEL', KEYS[2], first[1])
end
""")

_APPEND_DELTA: Final = _Script("""
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if version ~= ARGV[1] then return 0 end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if last and last[2][2] == ARGV[2] and last[2][4] == ARGV[3] then return 1 end
redis.call('XADD', KEYS[2], '*', 'from', ARGV[2], 'to', ARGV[3], 'payload', ARGV[4])
return 1
""")

_encoder: Final = msgspec.json.Encoder()
_checkpoints: Final = msgspec.json.Decoder(Checkpoint)


class RedisStore:
    """The store of a running Headrace; see `featurestore.store.Store` for what it promises.

    Args:
        client: it must neither retry by itself nor decode responses, see `connect`.
        topic: of the events.
        deadline_s: how long a call may take before it is `StoreUnavailable`.
    """

    def __init__(
        self, client: "Redis", *, topic: str = "events", deadline_s: float = DEADLINE_S
    ) -> None:
        self._client = client
        # redis-py leaves this one untyped: whoever reads a reply names its type.
        self._execute: Callable[..., Awaitable[Any]] = client.execute_command
        self._topic = topic
        self._deadline_s = deadline_s

    @classmethod
    def connect(cls, url: str, *, topic: str = "events", deadline_s: float = DEADLINE_S) -> Self:
        """Return a store on the server at `url`; it connects with the first call.

        Args:
            url: redis://, rediss:// or unix://.
            topic: of the events.
            deadline_s: how long a call may take.
        """
        pool = connection_pool(
            url,
            protocol=2,
            # One deadline a call, ours, instead of one for each read of the socket.
            socket_timeout=None,
            socket_connect_timeout=None,
            # A commit that is silently sent again would find itself already there.
            retry=Retry(NoBackoff(), 0),
        )
        return cls(Redis.from_pool(pool), topic=topic, deadline_s=deadline_s)

    async def checkpoint(self, topic: str, partition: int) -> Checkpoint | None:
        """See `Store`."""
        return _read_checkpoint(await self._get(checkpoint_key(topic, partition)))

    async def load_states(self, partition: int, user_ids: Sequence[UserId]) -> list[bytes | None]:
        """See `Store`."""
        states: list[bytes | None] = []
        for start in range(0, len(user_ids), MAX_STATES_PER_READ):
            some = user_ids[start : start + MAX_STATES_PER_READ]
            keys = state_keys(self._topic, partition, some)
            states += await self._answer(self._execute("MGET", *keys))
        return states

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
        keys = [
            checkpoint_key(self._topic, partition),
            *state_keys(self._topic, partition, states),
            *map(recommendations_key, lists),
        ]
        was = b"" if expected is None else _encoder.encode(expected)
        now = _encoder.encode(new)
        refused = await self._run(
            _COMMIT, keys, [was, now, ttl_ms, *states.values(), *lists.values()]
        )
        if refused is None:
            return Committed()
        assert isinstance(refused, bytes)
        return judged(_read_checkpoint(refused or None), expected)

    async def record_partitions(self, topic: str, num_partitions: int) -> int:
        """See `Store`."""
        key = partitions_key(topic)
        await self._answer(self._execute("SET", key, num_partitions, "NX"))
        return _read_int(await self._get(key))

    async def get_list(self, user_id: UserId) -> bytes | None:
        """See `Store`."""
        return await self._get(recommendations_key(user_id))

    async def get_shared(self, key: bytes) -> bytes | None:
        """See `Store`."""
        return await self._get(key)

    async def put_shared(self, lists: Mapping[bytes, bytes], *, ttl_ms: int) -> None:
        """See `Store`."""
        check_num_lists(len(lists))
        await self._run(_PUT_LISTS, [*lists], [ttl_ms, *lists.values()])

    async def load_base(self) -> Base | None:
        """See `Store`."""
        fields = ("version", "offset", "payload", "meta")
        version, offset, payload, meta = await self._answer(
            self._execute("HMGET", LEARNER_BASE, *fields)
        )
        if version is None:
            return None
        if payload is None or meta is None:
            raise StoreCorrupt(
                f"found a base of version {version!r} without payload or meta; delete "
                "learner:base and learner:deltas and restart the learner"
            )
        return Base(
            version=_read_int(version), offset=_read_int(offset), payload=payload, meta=meta
        )

    async def save_base(
        self, *, expected_version: int, offset: int, payload: bytes, meta: bytes
    ) -> bool:
        """See `Store`."""
        arguments = (expected_version, expected_version + 1, offset, payload, meta)
        return bool(await self._run(_SAVE_BASE, (LEARNER_BASE, LEARNER_DELTAS), arguments))

    async def append_delta(
        self, *, expected_version: int, from_offset: int, to_offset: int, payload: bytes
    ) -> bool:
        """See `Store`."""
        arguments = (expected_version, from_offset, to_offset, payload)
        return bool(await self._run(_APPEND_DELTA, (LEARNER_BASE, LEARNER_DELTAS), arguments))

    async def read_deltas(self, after_id: str, block_ms: int) -> list[Delta]:
        """See `Store`."""
        waits = ("BLOCK", block_ms) if block_ms else ()
        options = ("COUNT", MAX_DELTAS_PER_READ, *waits)
        streams = await self._answer(
            self._execute("XREAD", *options, "STREAMS", LEARNER_DELTAS, after_id),
            waits_s=block_ms / 1000,
        )
        return [
            _read_delta(entry_id, fields) for _, entries in streams for entry_id, fields in entries
        ]

    async def close(self) -> None:
        """See `Store`."""
        await self._client.aclose()

    async def _get(self, key: bytes) -> bytes | None:
        value: bytes | None = await self._answer(self._execute("GET", key))
        return value

    async def _run(
        self, script: _Script, keys: Sequence[bytes], arguments: Sequence[bytes | int]
    ) -> bytes | int | None:
        """Run a script, which the server may have forgotten: it knows none when it restarts."""
        call = (len(keys), *keys, *arguments)
        evalsha = self._execute("EVALSHA", script.digest, *call)
        try:
            reply: bytes | int | None = await self._answer(evalsha)
        except exceptions.NoScriptError:
            reply = await self._answer(self._execute("EVAL", script.text, *call))
        return reply

    async def _answer(self, reply: Awaitable[_T], *, waits_s: float = 0.0) -> _T:
        """Await a reply in time, with its failures sorted into ours."""
        try:
            async with asyncio.timeout(self._deadline_s + waits_s):
                return await reply
        except exceptions.NoScriptError:
            raise
        except exceptions.ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise StoreCorrupt(
                    f"found a key of another type ({error}), expected what docs/redis-keys.md "
                    "names; does another application use this database?"
                ) from error
            raise StoreUnavailable(f"Redis refused: {error}") from error
        except (exceptions.RedisError, OSError) as error:
            raise StoreUnavailable(
                f"no answer from Redis within {self._deadline_s + waits_s:g} s: {error!r}"
            ) from error


def _read_checkpoint(value: bytes | None) -> Checkpoint | None:
    if value is None:
        return None
    try:
        return _checkpoints.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreCorrupt(
            f"found {value[:100]!r} for a checkpoint ({error}); delete it and the partition's "
            "states to have them folded anew from the log"
        ) from error


def _read_delta(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Delta:
    try:
        return Delta(
            entry_id.decode(), int(fields[b"from"]), int(fields[b"to"]), fields[b"payload"]
        )
    except (KeyError, ValueError) as error:
        raise StoreCorrupt(
            f"found an entry {entry_id!r} in learner:deltas that is no delta; delete the stream "
            "and restart the learner"
        ) from error


def _read_int(value: bytes | None) -> int:
    try:
        return int(value or b"")
    except ValueError as error:
        raise StoreCorrupt(f"found {value!r}, expected a whole number") from error
