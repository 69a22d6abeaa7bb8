"""When is a model trained in an evaluation, and from when may it be used? In event time alone.

A training is due every so many minutes of the log's own clock. What it gives serves from its data's
cut-off plus the time that it took here, and at least `MIN_TRAINING_MS`: no list profits from a
model that could not have been there yet.
"""

from __future__ import annotations

import math
from typing import Final

from streams.examples import ExamplesRecord
from streams.partition_clock import ClockConfig, PartitionClock

MIN_TRAINING_MS: Final = 300_000


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
        self._due_ms = math.inf

    @property
    def is_due(self) -> bool:
        """Whether an interval has passed since the last training, or the log's begin."""
        return self.now_ms >= self._due_ms

    def advance(self, record: ExamplesRecord) -> None:
        """Follow the clock of a record's rows."""
        for row in record.rows:
            self._clock.advance(row.ts_ms, row.user_id)
        if self._due_ms == math.inf and self._clock.now_ms != self.now_ms:
            self._due_ms = self._clock.now_ms + self._interval_ms
        self.now_ms = self._clock.now_ms

    def begin(self) -> None:
        """Count from now on to the next training."""
        self._due_ms = self.now_ms + self._interval_ms

    def usable_from_ms(self, took_s: float) -> int:
        """Event time from which a training serves that begins now and takes so long."""
        return self.now_ms + max(MIN_TRAINING_MS, int(took_s * 1000))
