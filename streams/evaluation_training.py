"""How does a deep model take part in an evaluation, and from when may it be used?

The trainer's own code is refreshed every so many minutes of event time on what the run has learned
so far. A bundle serves from its data's cut-off plus the time that its training took here, and at
least `MIN_TRAINING_MS`: no list profits from a model that could not have been there yet.

Imports torch; an evaluation without a trainer does without this module.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from featurestore.keys import item_key
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from streams.config import Config
from streams.evaluation_result import BundleRun
from streams.examples import ExamplesRecord
from streams.live import LiveModels
from streams.metrics import TrainerMetrics
from streams.one_process import TOPIC_ID
from streams.partition_clock import ClockConfig, PartitionClock
from streams.training_data import TrainingData
from streams.training_round import TrainingRound

MIN_TRAINING_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    encoder: SequenceEncoder
    run: BundleRun


class EvaluationTrainer:
    """The trainer of one run."""

    def __init__(self, config: Config, live: LiveModels, *, interval_ms: int, folder: Path) -> None:
        """Begin with nothing.

        Args:
            config: As the live trainer would have it.
            live: Where a bundle is put to use.
            interval_ms: Event time between two trainings.
            folder: For the bundles; may be removed when the run is over.
        """
        self._live = live
        self._min_actions = config.trainer.min_actions
        self._interval_ms = interval_ms
        self._data = TrainingData(
            config.online,
            topic_id=TOPIC_ID,
            capacity=config.trainer.max_actions,
            counter_rows=config.trainer.counter_actions,
        )
        self._round = TrainingRound(
            config, self._data, TrainerMetrics(), folder=folder, announce=self._announced
        )
        self._promoted: Bundle | None = None
        self._clock = PartitionClock(ClockConfig())
        self._due_ms: int | None = None
        self._waiting: deque[_Waiting] = deque()
        self.cpu_s = 0.0
        """Processor time spent on training."""
        self.bundles: list[BundleRun] = []
        """What was promoted, in order."""

    def take(self, record: ExamplesRecord, offset: int) -> None:
        """Take a record in, and train or swap where its rows' clock says that it is time."""
        self._data.append(record, offset)
        for row in record.rows:
            self._clock.advance(row.ts_ms, row.user_id)
        now_ms = self._clock.now_ms
        if self._due_ms is None:
            self._due_ms = now_ms + self._interval_ms
        if now_ms >= self._due_ms and self._round.num_new_actions >= self._min_actions:
            self._due_ms = now_ms + self._interval_ms
            self._train(offset + 1, now_ms)
        while self._waiting and now_ms >= self._waiting[0].run.usable_from_ms:
            self._live.use(self._waiting.popleft().encoder)

    def _train(self, cutoff_event: int, now_ms: int) -> None:
        cpu_s = time.process_time()
        self._promoted = None
        self._round.run(is_stopped=lambda: False)
        took_s = time.process_time() - cpu_s
        self.cpu_s += took_s
        if self._promoted is None:
            return
        run = BundleRun(
            digest=self._promoted.digest,
            cutoff_event=cutoff_event,
            usable_from_ms=now_ms + max(MIN_TRAINING_MS, int(took_s * 1000)),
        )
        self.bundles.append(run)
        self._waiting.append(_Waiting(SequenceEncoder(self._promoted, key_of=item_key), run))

    def _announced(self, bundle: Bundle, _reason: str) -> None:
        self._promoted = bundle
