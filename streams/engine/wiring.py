"""What does an application give the engine, and what do all its parts share?"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from faust.types import TP

from streams.engine.config import EngineConfig
from streams.engine.stopping import StopControl


class StartOffsets(Protocol):
    """Says where each partition goes on; the checkpoint's voice."""

    def __call__(self, tps: frozenset[TP], /) -> Awaitable[Mapping[TP, int]]:
        """Name the offset of the next event of every partition, or LOG_START.

        Called after every assignment, with everything that this process owns from then on, and
        never while a slice handler runs: it is also the moment to drop what was cached for
        partitions that are gone, and to load what the new ones need. Another rebalance may
        cancel it, and calls it anew.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Settings, callbacks and the stop control of one application."""

    config: EngineConfig
    start_offsets: StartOffsets
    on_lost: Callable[[TP, int], None]
    control: StopControl = field(default_factory=StopControl)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop of the kind that the settings ask for."""
        if self.config.use_uvloop:
            # Not there on every platform, see pyproject.toml.
            import uvloop  # noqa: PLC0415

            return uvloop.new_event_loop()
        return asyncio.new_event_loop()
