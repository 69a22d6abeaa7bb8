"""How does what a worker does become numbers on its metrics?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from streams.dead_letters import is_redriven
from streams.engine import TP, PartitionProgress, Slice
from streams.metric_families import observe_many
from streams.metrics import WorkerMetrics
from streams.pipeline.chunks import Chunk
from streams.pipeline.decoding import RefusedRecord
from streams.pipeline.list_requests import Listing
from streams.pipeline.live import LiveModels
from streams.pipeline.pipeline import Effects
from streams.worker.list_quality import LatestLists
from streams.worker.ownership import OwnedPartition

_EVENTS: Final = "events"


class WorkerAccounts:
    """Moves the metrics of one worker; the only place that knows which event moves which."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self.metrics = metrics
        self._latest = LatestLists()

    def received(self, slice_: Slice) -> None:
        """A slice has come from Kafka."""
        ingest = self.metrics.ingest
        self.metrics.processing.slice_events.observe(slice_.num_records)
        observe_many(ingest.event_bytes, [len(record.value or b"") for record in slice_.records])
        for record in slice_.records:
            if record.headers and is_redriven(record):
                ingest.redriven.inc()

    def lost(self, tp: TP, num_lost: int) -> None:
        """Retention removed events before they were read."""
        self.metrics.ingest.lost_to_retention.of(_EVENTS, str(tp.partition)).inc(num_lost)

    def committed(self, chunk: Chunk, effects: Effects, *, now_s: float) -> None:
        """A chunk's atomic step was acknowledged at `now_s`: only now does it count."""
        self._refused(chunk.refused)
        ingest = self.metrics.ingest
        for (kind, outcome), number in effects.outcomes.items():
            ingest.events.of(_EVENTS, kind, outcome).inc(number)
        append_ms = np.array([one.record.append_ms for one in chunk.events], np.int64)
        lag_s = (append_ms - [one.event.ts_ms for one in chunk.events]) / 1000
        freshness = self.metrics.freshness.freshness.of("user")
        observe_many(freshness, np.maximum(now_s - append_ms / 1000, 0).tolist())
        observe_many(ingest.event_time_lag, np.maximum(lag_s, 0).tolist())
        ingest.clock_skew.inc(int((lag_s < 0).sum()))
        self.metrics.consumer.last_progress.set(now_s)

        # Clicks are looked up before the lists that they caused replace those that they were on.
        for source, number in self._latest.sources_of_clicks(effects.record).items():
            self.metrics.recommendations.clicks.of(source).inc(number)
        self.listed(effects.listing)

    def listed(self, listing: Listing) -> None:
        """Lists were written."""
        self._latest.add(listing.lists)
        recommendations = self.metrics.recommendations
        for made in listing.lists:
            outcome = "ok" if made.items else "empty"
            recommendations.recommendations.of(outcome).inc()
        for source, number in listing.candidates.items():
            recommendations.candidates.of(source).inc(number)
        for source, number in listing.recommended.items():
            recommendations.items.of(source).inc(number)
        for order, number in listing.places.items():
            recommendations.places.of(order).inc(number)

    def measure(self, live: LiveModels) -> None:
        """Measure what the latest lists are like."""
        quality = self._latest.quality(live)
        if quality is not None:
            recommendations = self.metrics.recommendations
            recommendations.coverage.set(quality.coverage)
            recommendations.diversity.set(quality.diversity)
            recommendations.novelty.set(quality.novelty_bits)

    def _refused(self, refused: Iterable[RefusedRecord]) -> None:
        reasons = Counter(str(one.refusal.reason) for one in refused)
        for reason, number in reasons.items():
            self.metrics.ingest.dead_letters.of(_EVENTS, reason).inc(number)
            self.metrics.ingest.events.of(_EVENTS, "unknown", "invalid").inc(number)

    def rejected(self) -> None:
        """A step was refused: another owner was here."""
        self.metrics.consumer.checkpoint_rejections.inc()
        self.metrics.processing.agent_errors.of("worker", "fenced").inc()

    def store_failed(self) -> None:
        """The store did not answer; it will be asked again."""
        self.metrics.redis.errors.inc()
        self.metrics.processing.agent_errors.of("worker", "redis").inc()

    def broker_failed(self) -> None:
        """The broker did not answer; it will be asked again."""
        self.metrics.processing.agent_errors.of("worker", "kafka").inc()

    def assigned(self, partitions: Iterable[int]) -> None:
        """Partitions were assigned; these are ours now."""
        numbers = list(partitions)
        self.metrics.consumer.partitions_assigned.set(len(numbers))
        self.metrics.consumer.rebalances.inc()
        self.metrics.consumer.lag.clear()

    def progress(
        self, progress: Mapping[TP, PartitionProgress], owned: Iterable[OwnedPartition]
    ) -> None:
        """How far the partitions are, and what is held of them."""
        for tp, at in progress.items():
            self.metrics.consumer.lag.of(_EVENTS, str(tp.partition)).set(at.lag)
        partitions = list(owned)
        held = self.metrics.held
        held.cached_users.set(sum(one.states.num_kept for one in partitions))
        held.owed_lists.set(sum(len(one.owed) for one in partitions))
