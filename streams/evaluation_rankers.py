"""How good would other rankers have been on the slates of the log? The `stream` protocol for each.

A ranker says what it expects when a slate is shown and is taught when the slate's answer is final.
One that is trained in batches is refreshed every so many minutes of event time on what had been
answered by then, and its trees count from the end of their training on, at least `MIN_TRAINING_MS`
later: no prediction profits from a model that could not have been there yet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.features import FeatureLayout
from models.slate_ranker import RANKERS, SlateRanker, SlateShape
from streams.attribution import ClosedSlate, JoinOutcome
from streams.evaluation_result import RankerCost, RankerQuality
from streams.examples import ExamplesRecord, ImpressionRow, unpack_int32
from streams.learner_fold import LearnEffects
from streams.ranker_quality import RankerJudge

MIN_TRAINING_MS: Final = 300_000

_Matrix = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Entrant:
    """One ranker and what it said."""

    ranker: SlateRanker
    waiting: list[tuple[int, SlateRanker]] = field(default_factory=list)
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
        while self.waiting and self.waiting[0][0] <= now_ms:
            self.ranker = self.waiting.pop(0)[1]

    def train(self, now_ms: int) -> None:
        began_s = time.process_time()
        # What is still in training when the next is due has the same log: the newest is enough.
        trained = (self.waiting[-1][1] if self.waiting else self.ranker).refresh()
        took_s = time.process_time() - began_s
        self.learning_s += took_s
        if trained is not None:
            self.waiting.append((now_ms + max(MIN_TRAINING_MS, int(took_s * 1000)), trained))


class EvaluationRankers:
    """The rankers that one run compares."""

    def __init__(
        self, names: Sequence[str], layout: FeatureLayout, *, first_event: int, interval_ms: int
    ) -> None:
        """Begin with nothing learned.

        Args:
            names: Among `models.slate_ranker.RANKERS`.
            layout: Of the features.
            first_event: Slates shown before it are learned, and not judged.
            interval_ms: Event time between two trainings.
        """
        shape = SlateShape(offsets=layout.offsets, num_relevance=layout.relevance_width)
        self._entrants = {name: _Entrant(RANKERS[name](shape)) for name in names}
        self._first_event = first_event
        self._interval_ms = interval_ms
        self._due_ms: int | None = None

    def take(self, record: ExamplesRecord, effects: LearnEffects) -> None:
        """Predict what a record shows, then learn what it answers."""
        for row in record.rows:
            if isinstance(row, ImpressionRow):
                self._advance(row.ts_ms)
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

    def _advance(self, now_ms: int) -> None:
        if self._due_ms is None:
            self._due_ms = now_ms + self._interval_ms
        for entrant in self._entrants.values():
            entrant.use_what_is_ready(now_ms)
            if now_ms >= self._due_ms:
                entrant.train(now_ms)
        if now_ms >= self._due_ms:
            self._due_ms = now_ms + self._interval_ms

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
