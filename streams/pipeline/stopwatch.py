"""How long does each stage of a chunk take? The pipeline asks, and reads no clock itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import Histogram

from streams.metric_families import Labelled


class Laps(Protocol):
    """Takes the time of consecutive stages."""

    def lap(self, stage: str) -> None:
        """Say that `stage` has just ended, and the next one begins."""
        ...


class NoLaps:
    """Takes no time: for replays and tests."""

    def lap(self, stage: str) -> None:
        """See `Laps`."""


class Stopwatch:
    """Adds the time since the last lap to a histogram by stage."""

    __slots__ = ("_clock", "_durations", "_last_s")

    def __init__(
        self, durations: Labelled[Histogram], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._durations = durations
        self._clock = clock
        self._last_s = clock()

    def start(self) -> None:
        """Begin a chunk: what came before belongs to no stage."""
        self._last_s = self._clock()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Take the time of a stage that others go on beside; laps do not see it."""
        started_s = self._clock()
        try:
            yield
        finally:
            self._durations.of(stage).observe(self._clock() - started_s)

    def lap(self, stage: str) -> None:
        """See `Laps`."""
        now_s = self._clock()
        self._durations.of(stage).observe(now_s - self._last_s)
        self._last_s = now_s
