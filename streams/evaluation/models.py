"""How do the models of finished logs take part in an evaluation as live sources?

Every so often in event time each model of `online.extra_sources` but the transformer learns the
positive actions that the run has read so far, going on from its weights where it can. It is saved
as a bundle, loaded and asked as a worker does it: what is measured is what would be served. Each
trains as if on a machine of its own; `streams.evaluation.schedule` says from when it counts.

Unlike `headrace train` nothing is held out, as in the protocol `temporal`: the newest actions are
the most worth, and models with passes make all of them. Names of `side.context` without any value
stay.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from models.bundle import Bundle
from models.history import History, HistoryEvent
from models.moments import Moments
from models.recommender import Recommender
from models.recommender_source import RecommenderSource
from models.registry import new_recommender
from streams.config import Config
from streams.evaluation.result import BundleRun, ModelCost
from streams.evaluation.schedule import InTraining, TrainingSchedule
from streams.examples import NO_ITEM, ActionRow, ExamplesRecord, VisitRow
from streams.pipeline.live import TRANSFORMER, LiveModels, source_of


class EvaluationModels:
    """The trainings of one run.

    Attributes:
        bundles: What was trained, in order.
        costs: Of each model that was trained.
    """

    def __init__(
        self,
        config: Config,
        live: LiveModels,
        *,
        attributes: Mapping[str, tuple[int, ...]],
        folder: Path,
    ) -> None:
        """Begin with nothing.

        Args:
            config: Names the models and how often they are trained.
            live: Where they are put to use.
            attributes: Codes of the items that are known, by item id; may grow.
            folder: For bundles, each as long as it takes to load it.
        """
        self.bundles: list[BundleRun] = []
        self.costs: dict[str, ModelCost] = {}
        self._live = live
        self._attributes = attributes
        self._repeats = not config.ranking.skip_acted
        self._folder = folder
        self._positive_codes = config.action_table().positive_codes
        self._min_actions = config.trainer.min_actions
        self._history = History(config.trainer.max_actions, side=config.side)
        self._moments = Moments(config.side)
        self._learned_row = 0
        self._schedule = TrainingSchedule(config.evaluation.model_interval_s * 1000)
        self._models = {
            name: _Model(name, config.evaluation.model_seed)
            for name in config.online.bundle_sources
            if name != TRANSFORMER
        }

    def take(self, record: ExamplesRecord, offset: int) -> None:
        """Take a record in, and train or swap where its rows' clock says that it is time."""
        if not self._models:
            return
        self._history.append(self._events(record), from_offset=offset, to_offset=offset + 1)
        schedule = self._schedule
        schedule.advance(record)
        has_new = self._history.end_row > max(self._learned_row, self._min_actions - 1)
        if schedule.is_due and has_new:
            schedule.begin()
            self._learned_row = self._history.end_row
            self._history.describe(self._attributes, joining=self._attributes)
            for model in self._models.values():
                self._train(model, offset + 1)
        for model in self._models.values():
            if (ready := model.waiting.take_ready(schedule.now_ms)) is not None:
                self._live.serve(ready.source, ready.digest)

    def _events(self, record: ExamplesRecord) -> Iterator[HistoryEvent]:
        """Yield positive actions, each with the moment of the event before: its list's."""
        for row in record.rows:
            if not isinstance(row, ActionRow | VisitRow):
                continue
            at_s = row.ts_ms // 1000
            made_at = self._moments.pass_on(row.user_id, at_s, row.context)
            if (
                isinstance(row, ActionRow)
                and row.item != NO_ITEM
                and row.action_code in self._positive_codes
            ):
                yield HistoryEvent(
                    user_id=row.user_id,
                    time_s=at_s,
                    action=row.action_code,
                    item_id=record.items[row.item],
                    asked_s=made_at.at_s,
                    contexts=made_at.contexts,
                )

    def _train(self, model: _Model, cutoff_event: int) -> None:
        begun_s = time.process_time()
        bundle = model.train(self._history, self._folder / f"{model.name}-{cutoff_event}")
        took_s = time.process_time() - begun_s
        run = BundleRun(
            model=model.name,
            digest=bundle.digest,
            cutoff_event=cutoff_event,
            usable_from_ms=self._schedule.usable_from_ms(took_s),
        )
        source = source_of(model.name, bundle, self._live, repeats=self._repeats)
        self.bundles.append(run)
        self.costs[model.name] = self.costs.get(model.name, ModelCost()).plus(
            training_s=took_s, actions=len(self._history.items), bundle_mb=bundle.size_bytes / 1e6
        )
        shutil.rmtree(bundle.folder)
        model.waiting.add(run.usable_from_ms, _Ready(source, run.digest))


class _Ready(NamedTuple):
    source: RecommenderSource
    digest: str


class _Model:
    """One model, from training to training."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.waiting = InTraining[_Ready]()
        self._seeds = {"seed": seed} if "seed" in new_recommender(name).settings() else {}
        self._learned: Recommender | None = None

    def train(self, history: History, folder: Path) -> Bundle:
        """Learn a log that has grown, and return what was written, read again and checked."""
        fit = None if self._learned is None else self._learned.continue_fit(history)
        if self._learned is None or fit is None:
            self._learned = new_recommender(self.name, **self._seeds)
            fit = self._learned.fit(history)
        for _ in fit:
            pass
        return self._learned.save(folder)
