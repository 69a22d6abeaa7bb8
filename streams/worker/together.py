"""Which chunks are computed in one go? Those that wait when the event loop is free for the next.

Most of a small chunk's cost does not depend on its size. So chunks of different partitions that
are ready together are computed together, the longest waiting first, up to the limits of one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streams.pipeline.pipeline import ChunkInput, Effects

_REST: Final = 2.0
"""How long to rest after a computation, as a multiple of what it took, and at most."""
_MAX_REST_S: Final = 0.016


class _Waiting(NamedTuple):
    chunk: ChunkInput
    effects: asyncio.Future[Effects]


class Together:
    """Computes chunks, several at once where several wait."""

    def __init__(
        self,
        compute: Callable[[Sequence[ChunkInput]], list[Effects]],
        turn: asyncio.Lock,
        *,
        max_events: int,
    ) -> None:
        """Begin with nothing waiting.

        Args:
            compute: Gives the effects of chunks of different partitions.
            turn: Held while it does.
            max_events: Of several chunks together; a larger one is computed alone.
        """
        self._compute = compute
        self._turn = turn
        self._max_events = max_events
        self._waiting: deque[_Waiting] = deque()
        self._took_s = self._ended_s = 0.0
        self._resting: asyncio.Task[None] | None = None
        self._computing: asyncio.Task[None] | None = None

    async def rest(self) -> None:
        """Let more events come before a small chunk is made, unless it is long since the last.

        A computation of few events costs nearly as much as one of many, and holds the event loop
        from what has been computed before and is on its way.
        """
        pause_s = min(_REST * self._took_s, _MAX_REST_S) - (time.perf_counter() - self._ended_s)
        if pause_s > 0:
            # One timer for all, so that all wake together.
            if self._resting is None or self._resting.done():
                self._resting = asyncio.create_task(asyncio.sleep(pause_s))
            await asyncio.wait({self._resting})

    async def effects_of(self, chunk: ChunkInput) -> Effects:
        """Wait for the turn, and return what the chunk causes; raise what computing it raised."""
        waiting = _Waiting(chunk, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._computing is None or self._computing.done():
            self._computing = asyncio.create_task(self._compute_waiting())
        return await waiting.effects

    async def _compute_waiting(self) -> None:
        while self._waiting:
            # Given back after each computation: others wait for it, too.
            async with self._turn:
                # Whoever has become ready with the first of them joins in.
                await asyncio.sleep(0)
                self._compute_some()

    def _compute_some(self) -> None:
        some = self._next()
        started_s = time.perf_counter()
        try:
            effects = self._compute([one.chunk for one in some])
            answers = list(zip(some, effects, strict=True))
            self._ended_s = time.perf_counter()
            self._took_s = self._ended_s - started_s
        except Exception as error:  # noqa: BLE001  (each of them ends with it)
            for one in some:
                if not one.effects.done():
                    one.effects.set_exception(error)
            return
        for one, of_one in answers:
            if not one.effects.done():
                one.effects.set_result(of_one)

    def _next(self) -> list[_Waiting]:
        """The longest waiting, as many as may go together, at least one."""
        some = [self._waiting.popleft()]
        num_events = some[0].chunk.num_events
        while self._waiting:
            num_events += self._waiting[0].chunk.num_events
            if num_events > self._max_events:
                break
            some.append(self._waiting.popleft())
        return some
