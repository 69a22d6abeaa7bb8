"""An application that runs inside a test's event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import faust
from faust.types import TP

from streams.engine import LOG_START, EngineConfig, Slice, SliceApp, build_app

DEADLINE_S = 30.0


@dataclass
class Reader:
    """Reads a topic, and keeps what it was told and given, in the order in which it happened.

    Attributes:
        bootstrap: The broker.
        topic: What is read.
        starts: Where each partition is to start; LOG_START if not named.
        on_slice: Awaited for each slice before it counts as finished.
        before_start: Awaited in start_offsets.
        settings: Of the engine, where they differ from the defaults.
    """

    bootstrap: str
    topic: str
    starts: dict[TP, int] = field(default_factory=dict)
    on_slice: Callable[[Slice], Awaitable[None]] | None = None
    before_start: Callable[[frozenset[TP]], Awaitable[None]] | None = None
    settings: dict[str, object] = field(default_factory=dict)
    assignments: list[frozenset[TP]] = field(default_factory=list)
    happened: list[dict[TP, int] | Slice] = field(default_factory=list)
    lost: list[tuple[TP, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = self._build()

    @property
    def slices(self) -> list[Slice]:
        return [event for event in self.happened if isinstance(event, Slice)]

    @property
    def num_records(self) -> int:
        return sum(slice_.num_records for slice_ in self.slices)

    def values(self, partition: int = 0) -> list[int]:
        return [
            int(record.value or b"-1")
            for slice_ in self.slices
            if slice_.partition == partition
            for record in slice_.records
        ]

    def checkpoints(self) -> dict[TP, int]:
        """Where a checkpoint written by each finished slice would stand."""
        return {slice_.tp: slice_.next_offset for slice_ in self.slices}

    async def start_offsets(self, tps: frozenset[TP]) -> dict[TP, int]:
        self.assignments.append(tps)
        if self.before_start is not None:
            await self.before_start(tps)
        offsets = {tp: self.starts.get(tp, LOG_START) for tp in tps}
        self.happened.append(offsets)
        return offsets

    def _build(self) -> SliceApp:
        settings: dict[str, object] = {
            "app_id": f"group-of-{self.topic}",
            "session_timeout_s": 6.0,
            "heartbeat_interval_s": 0.5,
            "use_uvloop": False,
            **self.settings,
        }
        config = EngineConfig(brokers=(self.bootstrap,), **settings)  # type: ignore[arg-type]
        app = build_app(
            config,
            start_offsets=self.start_offsets,
            on_lost=lambda tp, num_lost: self.lost.append((tp, num_lost)),
        )

        @app.agent(app.topic(self.topic), name=f"agent-of-{self.topic}")
        async def read(slices: faust.StreamT[Slice]) -> None:
            async for slice_ in slices:
                if self.on_slice is not None:
                    await self.on_slice(slice_)
                self.happened.append(slice_)

        return app

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Reader"]:
        """Start, and stop when the block is left."""
        app = self.app
        starting = asyncio.create_task(app.start())
        try:
            yield self
        finally:
            app.control.close_commits()
            await app.stop()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def until(self, is_so: Callable[["Reader"], bool]) -> None:
        """Wait until something has happened, or the process would have ended."""
        async with asyncio.timeout(DEADLINE_S):
            while not is_so(self):
                if self.app.control.reason is not None:
                    raise self.app.control.reason
                if self.app.crash_reason is not None:
                    raise self.app.crash_reason
                await asyncio.sleep(0.005)
