"""How does what the learner does become numbers on its metrics?"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.lists import order_of
from models.evaluation import auc
from streams.engine import TP, PartitionProgress, Slice
from streams.join_outcome import JoinOutcome
from streams.learner.attribution import ClosedSlate
from streams.learner.fold import LearnEffects
from streams.metric_families import CALIBRATION_EDGES
from streams.metrics import LearnerMetrics

_EXAMPLES: Final = "examples"
_WINDOW_SLATES: Final = 500
_MIN_P: Final = 1e-12


class LearnerAccounts:
    """Moves the metrics of the learner; the only place that knows what moves which."""

    def __init__(self, metrics: LearnerMetrics) -> None:
        self.metrics = metrics
        self._recent: deque[tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]] = deque(
            maxlen=_WINDOW_SLATES
        )

    def learned(self, effects: LearnEffects, partition: int, *, num_open: int) -> None:
        """A record was folded; one that was only joined again after a restart counts nothing."""
        if not effects.is_new or not effects.is_learned:
            return
        join = self.metrics.join
        for outcome, number in effects.joins.items():
            join.joins.of(outcome.value).inc(number)
        join.open_slates.set(num_open)
        if effects.num_lost:
            self.metrics.ingest.lost_to_retention.of("events", str(partition)).inc(effects.num_lost)
        for closed in effects.closed:
            self._judge(closed)

    def window_auc(self) -> None:
        """Bring the AUC over the last closed slates up to date."""
        if self._recent:
            scores = np.concatenate([scores for scores, _ in self._recent])
            labels = np.concatenate([labels for _, labels in self._recent])
            ratio = auc(scores, labels)
            if ratio is not None:
                self.metrics.click.window_auc.set(ratio)

    def published(self, append_ms: Iterable[int], *, now_s: float) -> None:
        """What was appended at these times can be read by workers since `now_s`."""
        freshness = self.metrics.freshness.freshness.of("online")
        for appended_ms in append_ms:
            freshness.observe(max(0.0, now_s - appended_ms / 1000))
        self.metrics.consumer.last_progress.set(now_s)

    def lost_examples(self, num_lost: int) -> None:
        """Records of `examples` were gone before they were read."""
        self.metrics.ingest.lost_to_retention.of(_EXAMPLES, "0").inc(num_lost)

    def received(self, slice_: Slice) -> None:
        """A slice has come from Kafka."""
        self.metrics.processing.slice_events.observe(slice_.num_records)

    def broker_failed(self) -> None:
        """The broker did not answer; it will be asked again."""
        self.metrics.processing.agent_errors.of("learner", "kafka").inc()

    def store_failed(self) -> None:
        """The store did not answer; it will be asked again."""
        self.metrics.redis.errors.inc()
        self.metrics.processing.agent_errors.of("learner", "redis").inc()

    def progress(self, progress: Mapping[TP, PartitionProgress]) -> None:
        """How far the partition is."""
        for tp, at in progress.items():
            self.metrics.consumer.lag.of(_EXAMPLES, str(tp.partition)).set(at.lag)

    def _judge(self, closed: ClosedSlate) -> None:
        if closed.outcome is JoinOutcome.JOINED:
            self.metrics.join.delay.observe(closed.first_click_delay_ms / 1000)
        if closed.slate.predicted is None or closed.outcome is JoinOutcome.EVICTED:
            return
        p = closed.slate.predicted.as_shown
        clicked = closed.is_clicked()
        order = order_of(closed.slate.row.list_id)
        if order is not None:
            self.metrics.exploration.shown.of(order).inc(len(clicked))
            self.metrics.exploration.clicks.of(order).inc(int(clicked.sum()))
        self._recent.append((p, clicked))
        click = self.metrics.click
        click.predictions.inc(len(p))
        click.predicted_clicks.inc(float(p.sum()))
        click.observed_clicks.inc(int(clicked.sum()))
        of_answer = np.where(clicked, p, 1 - p)
        click.logloss.inc(float(-np.log(np.maximum(of_answer, _MIN_P)).sum()))
        click.squared_error.inc(float(((p - clicked) ** 2).sum()))
        for probability, is_clicked in zip(p.tolist(), clicked.tolist(), strict=True):
            click.probability.observe(probability)
            edge = str(CALIBRATION_EDGES[bisect_left(CALIBRATION_EDGES, probability)])
            click.bin_predictions.of(edge).inc(probability)
            if is_clicked:
                click.bin_clicks.of(edge).inc()
