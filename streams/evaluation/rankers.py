"""How good would other rankers have been on the slates of the log? The `stream` protocol for each.

A ranker says what it expects when a slate is shown and is taught when the slate's answer is final.
One that is trained in batches is refreshed every so many minutes of event time on what had been
answered by then; `streams.evaluation.schedule` says from when its trees count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from featurestore.features import FeatureLayout
from models.rankers.registry import new_ranker
from models.rankers.slate_ranker import SlateRanker, SlateShape
from streams.click_quality import RankerJudge, RankerQuality
from streams.evaluation.result import RankerCost
from streams.evaluation.schedule import InTraining, TrainingSchedule
from streams.examples import ExamplesRecord, ImpressionRow, unpack_int32
from streams.join_outcome import JoinOutcome
from streams.learner.attribution import ClosedSlate
from streams.learner.fold import LearnEffects

_Matrix = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Entrant:
    """One ranker and what it said."""

    ranker: SlateRanker
    waiting: InTraining[SlateRanker] = field(default_factory=InTraining)
    said: dict[int, tuple[_Floats, _Floats]] = field(default_factory=dict)
    judge: RankerJudge = field(default_factory=RankerJudge)
    num_predicted: int = 0
    predicting_s: float = 0.0
    learning_s: float = 0.0

    def predict(self, row: ImpressionRow, relevance: _Matrix, examination: _Matrix) -> None:
        began_s = time.process_time()
        as_shown = self.ranker.predicted(relevance, examination)
        self.said[row.offset] = as_shown, self.ranker.scores(relevance)
        self.predicting_s += time.process_time() - began_s
        self.num_predicted += 1

    def learn(self, closed: ClosedSlate, relevance: _Matrix, examination: _Matrix) -> None:
        labels, watch_times = closed.is_clicked(), closed.watch_times()
        began_s = time.process_time()
        self.ranker.learn(relevance, examination, labels, watch_times)
        self.learning_s += time.process_time() - began_s

    def use_what_is_ready(self, now_ms: int) -> None:
        self.ranker = self.waiting.take_ready(now_ms) or self.ranker

    def train(self, schedule: TrainingSchedule) -> None:
        began_s = time.process_time()
        # What is still in training when the next is due has the same log: the newest is enough.
        trained = (self.waiting.newest or self.ranker).refresh()
        took_s = time.process_time() - began_s
        self.learning_s += took_s
        if trained is not None:
            self.waiting.add(schedule.usable_from_ms(took_s), trained)


class EvaluationRankers:
    """The rankers that one run compares."""

    def __init__(
        self,
        names: Sequence[str],
        layout: FeatureLayout,
        *,
        first_event: int,
        interval_ms: int,
        seed: int,
    ) -> None:
        """Begin with nothing learned.

        Args:
            names: Among `models.rankers.registry.RANKERS`.
            layout: Of the features.
            first_event: Slates shown before it are learned, and not judged.
            interval_ms: Event time between two trainings.
            seed: Of what they draw.
        """
        shape = SlateShape(offsets=layout.offsets, num_relevance=layout.relevance_width)
        self._entrants = {name: _Entrant(new_ranker(name, shape, seed=seed)) for name in names}
        self._first_event = first_event
        self._schedule = TrainingSchedule(interval_ms)

    def take(self, record: ExamplesRecord, effects: LearnEffects) -> None:
        """Predict what a record shows, then learn what it answers."""
        self._advance(record)
        for row in record.rows:
            if isinstance(row, ImpressionRow):
                self._predict(row)
        self.settle(effects)

    def settle(self, effects: LearnEffects) -> None:
        """Judge and learn the slates whose answer is final."""
        for closed in effects.closed:
            self._settle(closed)

    def quality(self) -> dict[str, RankerQuality]:
        """Return the figures of each."""
        return {
            name: entrant.judge.quality(entrant.ranker.predicts)
            for name, entrant in self._entrants.items()
        }

    def costs(self) -> dict[str, RankerCost]:
        """Return what each cost so far."""
        return {
            name: RankerCost(
                predicting_s=entrant.predicting_s,
                learning_s=entrant.learning_s,
                slates=entrant.num_predicted,
            )
            for name, entrant in self._entrants.items()
        }

    def _advance(self, record: ExamplesRecord) -> None:
        self._schedule.advance(record)
        for entrant in self._entrants.values():
            entrant.use_what_is_ready(self._schedule.now_ms)
            if self._schedule.is_due:
                entrant.train(self._schedule)
        if self._schedule.is_due:
            self._schedule.begin()

    def _predict(self, row: ImpressionRow) -> None:
        relevance, examination = _matrices(row)
        for entrant in self._entrants.values():
            entrant.predict(row, relevance, examination)

    def _settle(self, closed: ClosedSlate) -> None:
        row = closed.slate.row
        relevance, examination = _matrices(row)
        for entrant in self._entrants.values():
            as_shown, by_relevance = entrant.said.pop(row.offset)
            if closed.outcome is JoinOutcome.EVICTED:
                continue
            if row.offset >= self._first_event:
                entrant.judge.add(as_shown, by_relevance, closed.is_clicked(), closed.watch_times())
            if closed.is_learned:
                entrant.learn(closed, relevance, examination)


def _matrices(row: ImpressionRow) -> tuple[_Matrix, _Matrix]:
    num_items = len(row.items)
    return unpack_int32(row.relevance, num_items), unpack_int32(row.examination, num_items)
