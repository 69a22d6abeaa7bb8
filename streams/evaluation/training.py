"""How does a deep model take part in an evaluation, and from when may it be used?

The trainer's own code refreshes the transformer every so many minutes of event time on what the run
has learned so far; `streams.evaluation.schedule` says from when a bundle serves.

Imports torch; an evaluation without a trainer does without this module.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from featurestore.keys import item_key
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from streams.config import Config
from streams.evaluation.result import BundleRun, ModelCost
from streams.evaluation.schedule import InTraining, TrainingSchedule
from streams.examples import ExamplesRecord
from streams.metrics import TrainerMetrics
from streams.one_process import TOPIC_ID
from streams.pipeline.live import TRANSFORMER, LiveModels
from streams.trainer.training_data import TrainingData
from streams.trainer.training_round import TrainingRound


class EvaluationTrainer:
    """The trainer of one run."""

    def __init__(
        self,
        config: Config,
        live: LiveModels,
        *,
        attributes: Mapping[str, tuple[int, ...]],
        interval_ms: int,
        folder: Path,
    ) -> None:
        """Begin with nothing.

        Args:
            config: As the live trainer would have it.
            live: Where a bundle is put to use.
            attributes: Codes of the items that are known, by item id; may grow.
            interval_ms: Event time between two trainings.
            folder: For the bundles; may be removed when the run is over.
        """
        self._live = live
        self._attributes = attributes if config.trainer.reads_attributes else {}
        self._min_actions = config.trainer.min_actions
        self._data = TrainingData(
            config.online,
            topic_id=TOPIC_ID,
            side=config.side,
            capacity=config.trainer.max_actions,
            counter_rows=config.trainer.counter_actions,
        )
        self._round = TrainingRound(
            config,
            self._data,
            TrainerMetrics(),
            folder=folder,
            announce=self._announced,
            seed=config.evaluation.model_seed,
        )
        self._promoted: Bundle | None = None
        self._schedule = TrainingSchedule(interval_ms)
        self._waiting = InTraining[SequenceEncoder]()
        self.cost = ModelCost()
        """Of training, and of the gate."""
        self.bundles: list[BundleRun] = []
        """What was promoted, in order."""

    def take(self, record: ExamplesRecord, offset: int) -> None:
        """Take a record in, and train or swap where its rows' clock says that it is time."""
        self._data.append(record, offset)
        schedule = self._schedule
        schedule.advance(record)
        if schedule.is_due and self._round.num_new_actions >= self._min_actions:
            schedule.begin()
            self._train(offset + 1)
        if (encoder := self._waiting.take_ready(schedule.now_ms)) is not None:
            self._live.use(encoder)

    def _train(self, cutoff_event: int) -> None:
        cpu_s, num_actions = time.process_time(), self._round.num_new_actions
        promoted = self._trained()
        took_s = time.process_time() - cpu_s
        self.cost = self.cost.plus(
            training_s=took_s,
            actions=num_actions,
            bundle_mb=self.cost.bundle_mb if promoted is None else promoted.size_bytes / 1e6,
        )
        if promoted is None:
            return
        run = BundleRun(
            model=TRANSFORMER,
            digest=promoted.digest,
            cutoff_event=cutoff_event,
            usable_from_ms=self._schedule.usable_from_ms(took_s),
        )
        self.bundles.append(run)
        self._waiting.add(run.usable_from_ms, SequenceEncoder(promoted, key_of=item_key))

    def _trained(self) -> Bundle | None:
        self._promoted = None
        self._data.history.describe(self._attributes)
        self._round.run(is_stopped=lambda: False)
        return self._promoted

    def _announced(self, bundle: Bundle, _reason: str) -> None:
        self._promoted = bundle
