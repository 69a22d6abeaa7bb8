"""How does the live gate hear of bundles, and how does it say what it decides?

Beside the learner's agent: one task follows the topic `models`, another asks the gate twice a
second and has its words acknowledged by the same topic, from where workers and trainer take them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from models.encoder import BUNDLE_KIND
from streams.announcements import AnnouncementCorrupt, decode_announcement, place_of, records_of
from streams.config import Config
from streams.engine import OutgoingRecord, Record, SliceApp, TopicReader, fail_stop
from streams.learner.live_gate import LiveGate, Scores, Word
from streams.learner.rivals import Compared
from streams.metrics import LearnerMetrics

logger = logging.getLogger(__name__)

_LOOK_S = 0.5


class Guard:
    """The live gate with its two tasks."""

    def __init__(self, config: Config, metrics: LearnerMetrics) -> None:
        self._kafka = config.kafka
        self._gate = LiveGate(config.gate)
        self._metrics = metrics

    def take(self, compared: Sequence[Compared]) -> None:
        """Count what was just compared."""
        if compared:
            self._gate.take(compared)
            self._metrics.live_gate.compared.inc(len(compared))

    async def follow(self, app: SliceApp) -> None:
        """Hear what is announced, for as long as the process runs."""
        with fail_stop(app, "following the announcements"):
            async with TopicReader(
                self._kafka.brokers, self._kafka.topics.models, on_records=self._hear
            ) as reader:
                await reader.follow()

    def _hear(self, _partition: int, records: Sequence[Record]) -> None:
        for record in records:
            place = place_of(record.key, [BUNDLE_KIND])
            if place is None or record.value is None:
                continue
            try:
                announcement = decode_announcement(record.value)
            except AnnouncementCorrupt:
                # Workers read the same topic, and count and report it.
                continue
            self._gate.announced(place.role, announcement, now_s=time.monotonic())

    async def keep_deciding(self, app: SliceApp) -> None:
        """Ask the gate and announce what it says, for as long as the process runs."""
        with fail_stop(app, "announcing what the live gate decides"):
            while not app.control.is_stopping:
                await asyncio.sleep(_LOOK_S)
                if (scores := self._gate.scores()) is not None:
                    self._show(scores)
                if words := self._gate.decide(time.monotonic()):
                    await self._say(words, app)

    def _show(self, scores: Scores) -> None:
        metrics = self._metrics.live_gate
        shown = (
            (metrics.log_score, scores.log_scores),
            (metrics.score, scores.mrr),
            (metrics.own_score, scores.own_mrr),
        )
        for gauges, means in shown:
            for role, mean in means._asdict().items():
                gauges.of(BUNDLE_KIND, role).set(mean)

    async def _say(self, words: Sequence[Word], app: SliceApp) -> None:
        for role, announcement in words:
            logger.info(
                "Live gate: %s is %s, %s: %s",
                announcement.short_digest,
                role,
                announcement.decision,
                announcement.reason,
            )
            self._metrics.models.gate_decisions.of(str(announcement.decision)).inc()
            await app.produce_acked(
                self._kafka.topics.models,
                [
                    OutgoingRecord(key=key, value=value)
                    for key, value in records_of(announcement, role)
                ],
                deadline_s=self._kafka.produce_timeout_s,
            )
