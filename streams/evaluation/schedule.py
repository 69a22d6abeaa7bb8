"""When is what learns in batches trained in an evaluation, and from when is it used? In event time.

A training is due every so many minutes of the log's own clock. What it gives serves from its data's
cut-off plus the time that it took here, and at least `MIN_TRAINING_MS`: no list and no prediction
profits from a model that could not have been there yet.
"""

from __future__ import annotations

import math
from typing import Generic, TypeVar

from streams.evaluation_config import MIN_TRAINING_MS
from streams.examples import ExamplesRecord
from streams.partition_clock import ClockConfig, PartitionClock

T = TypeVar("T")


class TrainingSchedule:
    """The clock of one run's rows, and the next training.

    Attributes:
        now_ms: Event time.
    """

    def __init__(self, interval_ms: float) -> None:
        """Begin without a clock.

        Args:
            interval_ms: Event time between two trainings; infinite for none.
        """
        self.now_ms = 0
        self._interval_ms = interval_ms
        self._clock = PartitionClock(ClockConfig())
        self._newest_ms = 0
        self._due_ms = math.inf

    @property
    def is_due(self) -> bool:
        """Whether an interval has passed since the last training, or the log's begin."""
        return self.now_ms >= self._due_ms

    def advance(self, record: ExamplesRecord) -> None:
        """Follow the clock of a record's rows."""
        for row in record.rows:
            counts_ms = self._clock.advance(row.ts_ms, row.user_id)
            # What is ahead of the clock has been learned from all the same. Once a row is not, the
            # clock has caught up, or those ahead were wrong: they may not put trainings off.
            is_ahead = row.ts_ms > counts_ms
            self._newest_ms = max(self._newest_ms, row.ts_ms) if is_ahead else self._clock.now_ms
        if self._due_ms == math.inf and self._clock.now_ms != self.now_ms:
            self._due_ms = self._clock.now_ms + self._interval_ms
        self.now_ms = self._clock.now_ms

    def begin(self) -> None:
        """Count from now on to the next training."""
        self._due_ms = self.now_ms + self._interval_ms

    def usable_from_ms(self, took_s: float) -> int:
        """Event time from which a training serves that begins now and takes so long."""
        return max(self.now_ms, self._newest_ms) + max(MIN_TRAINING_MS, int(took_s * 1000))


class InTraining(Generic[T]):
    """What was trained and cannot be used yet, in the order of the trainings' begins."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, T]] = []

    @property
    def newest(self) -> T | None:
        """What began last; None if nothing is in training."""
        return self._waiting[-1][1] if self._waiting else None

    def add(self, usable_from_ms: int, trained: T) -> None:
        """Keep what serves from an event time on."""
        self._waiting.append((usable_from_ms, trained))

    def take_ready(self, now_ms: int) -> T | None:
        """Return the newest that can be used by now, and forget it and all that began before it.

        >>> models = InTraining[str]()
        >>> models.add(30, "slow")
        >>> models.add(20, "quick")
        >>> [models.take_ready(now_ms) for now_ms in (19, 20, 30)]
        [None, 'quick', None]
        """
        for place in reversed(range(len(self._waiting))):
            usable_from_ms, trained = self._waiting[place]
            if usable_from_ms <= now_ms:
                del self._waiting[: place + 1]
                return trained
        return None
