"""How does the stream wait for a service that is away?

It blocks, with growing pauses, and drops nothing: the log keeps what comes meanwhile. Whether the
process gives up is decided by the engine's own deadlines and stall detector.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Final, TypeVar

from prometheus_client import Histogram

T = TypeVar("T")

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.05


async def until_answered(
    call: Callable[[], Awaitable[T]],
    *,
    transient: type[Exception],
    max_pause_s: float,
    on_fault: Callable[[], None],
    durations: Histogram | None = None,
) -> T:
    """Return what `call` returns, after as many attempts as it takes.

    Args:
        call: Must be safe to repeat.
        transient: What it raises when another attempt may succeed; anything else goes through.
        max_pause_s: Longest pause between two attempts.
        on_fault: Called for every failed attempt; counts it.
        durations: Observes how long each attempt takes, in seconds.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            with durations.time() if durations else nullcontext():
                return await call()
        except transient as error:
            on_fault()
            logger.warning("Waiting %.2f s for a service that is away: %s", pause_s, error)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, max_pause_s)
