"""A worker process whose state and checkpoint lie in Redis: it counts every event.

Run as `python -m tests.streams.engine.counting_worker '<json>'`; see WorkerSpec.
"""

# ruff: noqa: T201 - what it prints is what tests wait for

import asyncio
import logging
import sys
import time

import faust
import msgspec
import redis.asyncio
from faust.types import TP

from streams.engine import (
    LOG_START,
    EngineConfig,
    FatalEngineError,
    OutgoingRecord,
    Slice,
    build_app,
    run_app,
)

COMMIT = """
local current = tonumber(redis.call('GET', KEYS[1]) or '-1')
if current ~= tonumber(ARGV[1]) then return current end
for i = 3, #ARGV do
    redis.call('HINCRBY', KEYS[2], ARGV[i], 1)
    redis.call('RPUSH', KEYS[3], ARGV[i])
end
redis.call('SET', KEYS[1], ARGV[2])
return -2
"""


class WorkerSpec(msgspec.Struct, kw_only=True):
    """What the worker does.

    Attributes:
        bootstrap: The broker.
        redis_url: Where state and checkpoints are.
        topic: What is read, and the prefix of the keys.
        pause_s: Rest in the middle of every slice.
        fail_at: Value of the event that raises.
        hang_at: Value of the event at which the handler waits for ever.
        exit_at: Value of the event at which the handler exits.
        block_at: Value of the event at which the handler blocks the event loop.
        echo_topic: Where each slice's values are produced to, before the commit.
        settings: Of the engine.
    """

    bootstrap: str
    redis_url: str
    topic: str
    pause_s: float = 0.0
    fail_at: str = ""
    hang_at: str = ""
    exit_at: str = ""
    block_at: str = ""
    echo_topic: str = ""
    settings: dict[str, float | int | bool] = msgspec.field(default_factory=dict)


class CountingWorker:
    """Fences its writes by the checkpoint, as the real worker does."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._redis = redis.asyncio.Redis.from_url(
            spec.redis_url, decode_responses=True, retry_on_timeout=True
        )
        self._commit = self._redis.register_script(COMMIT)
        settings = {"session_timeout_s": 6.0, "heartbeat_interval_s": 0.5, **spec.settings}
        config = EngineConfig(
            app_id=f"group-of-{spec.topic}",
            brokers=(spec.bootstrap,),
            **settings,  # type: ignore[arg-type]
        )
        self.app = build_app(config, start_offsets=self._start_offsets, on_lost=self._on_lost)

        @self.app.agent(self.app.topic(spec.topic), name="count")
        async def count(slices: faust.StreamT[Slice]) -> None:
            async for slice_ in slices:
                await self._count(slice_)

    async def _start_offsets(self, tps: frozenset[TP]) -> dict[TP, int]:
        offsets = {tp: await self._checkpoint(tp) for tp in tps}
        for tp, offset in offsets.items():
            if offset is None:
                # The script compares: write down where the empty state stands.
                await self._redis.set(self._key("checkpoint", tp), 0)
        print("assigned", len(tps), flush=True)
        return {tp: LOG_START if offset is None else offset for tp, offset in offsets.items()}

    def _on_lost(self, tp: TP, num_lost: int) -> None:
        print("lost", tp.partition, num_lost, flush=True)

    async def _count(self, slice_: Slice) -> None:
        values = [(record.value or b"").decode() for record in slice_.records]
        self._maybe_break(values)
        if self._spec.hang_at in values:
            await asyncio.Event().wait()
        await asyncio.sleep(self._spec.pause_s)
        if self._spec.echo_topic:
            echo = [OutgoingRecord(value=value.encode()) for value in values]
            await self.app.produce_acked(self._spec.echo_topic, echo)
        tp = slice_.tp
        current = await self._commit(
            keys=[self._key("checkpoint", tp), f"{self._spec.topic}:counts", self._key("seen", tp)],
            args=[slice_.base_offset, slice_.next_offset, *values],
        )
        if current == -2:
            print("counted", len(values), flush=True)
        elif current < slice_.base_offset:
            raise FatalEngineError(f"checkpoint {current} is behind slice {slice_.base_offset}")
        else:
            print("fenced", slice_.base_offset, current, flush=True)
            # Another owner was here. Slices of ours that it has done are refused, too.
            if current < slice_.next_offset:
                raise FatalEngineError(f"checkpoint {current} lies inside a slice: start again")

    def _maybe_break(self, values: list[str]) -> None:
        if self._spec.fail_at in values:
            raise ZeroDivisionError(f"told to fail at {self._spec.fail_at}")
        if self._spec.exit_at in values:
            sys.exit(0)
        if self._spec.block_at in values:
            time.sleep(3600)

    async def _checkpoint(self, tp: TP) -> int | None:
        text = await self._redis.get(self._key("checkpoint", tp))
        return None if text is None else int(text)

    def _key(self, kind: str, tp: TP) -> str:
        return f"{self._spec.topic}:{kind}:{tp.partition}"


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    spec = msgspec.json.decode(sys.argv[1], type=WorkerSpec)
    return run_app(CountingWorker(spec).app)


if __name__ == "__main__":
    sys.exit(main())
