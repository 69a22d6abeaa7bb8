"""How do catalogue and deep models reach a running worker?

Each worker reads the compacted topics `items` and `models` to their ends before its first event,
and follows them from then on. A record that is none, or a bundle that is refused, changes nothing:
what is in use stays in use, and a metric counts it. Everything is taken in by the event loop
between two chunks; a bundle is checked and loaded in a thread before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from featurestore.events import EventRefused, decode_item
from featurestore.keys import item_key
from models.bundle import BundleRefused
from models.encoder import BUNDLE_KIND, SequenceEncoder
from streams.announcements import (
    CHALLENGING,
    Announcement,
    AnnouncementCorrupt,
    Decision,
    Role,
    decode_announcement,
    role_of,
)
from streams.engine import Record, TopicReader
from streams.live import LiveModels
from streams.metrics import WorkerMetrics

logger = logging.getLogger(__name__)

_ITEMS: Final = "items"
_ROLLBACKS: Final = {Decision.ROLLBACK: "operator", Decision.LIVE_ROLLBACK: "lost_quality"}


class ItemsFeed:
    """Folds the records of `items` into a catalogue."""

    def __init__(self, live: LiveModels, metrics: WorkerMetrics) -> None:
        self._live = live
        self._metrics = metrics

    def take(self, partition: int, records: Sequence[Record]) -> None:
        """Fold records of one partition, in offset order."""
        events = self._metrics.ingest.events
        for record in records:
            try:
                item = decode_item(record.value)
            except EventRefused as refusal:
                events.of(_ITEMS, "item", "invalid").inc()
                self._metrics.ingest.dead_letters.of(_ITEMS, str(refusal.reason)).inc()
                logger.warning("items-%d at %d is no item: %s", partition, record.offset, refusal)
            else:
                self._live.put_item(item)
                events.of(_ITEMS, "item", "ok").inc()

    def reader(self, brokers: Sequence[str], topic: str) -> TopicReader:
        """Return what reads the topic into the catalogue."""
        return TopicReader(brokers, topic, on_records=self.take)


class ModelsFeed:
    """Takes up the bundles that `models` names as the current one and as its challenger."""

    def __init__(self, live: LiveModels, metrics: WorkerMetrics) -> None:
        self._live = live
        self._metrics = metrics
        self._latest: dict[Role, Announcement] = {}
        self._announced = asyncio.Event()

    def take(self, partition: int, records: Sequence[Record]) -> None:
        """Note what was announced; the last word on a role counts."""
        for record in records:
            role = role_of(record.key, BUNDLE_KIND)
            if role is None or record.value is None:
                continue
            try:
                self._latest[role] = decode_announcement(record.value)
            except AnnouncementCorrupt as error:
                self._metrics.models.refusals.of(BUNDLE_KIND).inc()
                logger.error("models-%d at %d: %s", partition, record.offset, error)  # noqa: TRY400
            else:
                self._announced.set()

    def reader(self, brokers: Sequence[str], topic: str) -> TopicReader:
        """Return what reads the topic."""
        return TopicReader(brokers, topic, on_records=self.take)

    async def swap(self) -> None:
        """Take up what was announced last, if these are other bundles than those in use."""
        self._announced.clear()
        wanted = self._latest.get(Role.CURRENT)
        if wanted is not None and wanted.digest != _digest_of(self._live):
            encoder = await self._loaded(wanted)
            if encoder is not None:
                self._live.use(encoder)
                self._count_swap(wanted)
        await self._swap_challenger()

    async def _swap_challenger(self) -> None:
        """Compare with the challenger announced, as long as it is one."""
        wanted = self._latest.get(Role.CHALLENGER)
        current = _digest_of(self._live)
        if wanted is None or wanted.decision not in CHALLENGING or wanted.digest == current:
            self._live.challenge(None)
        elif wanted.digest != _digest_of(self._live.challenger):
            self._live.challenge(await self._loaded(wanted))

    async def _loaded(self, wanted: Announcement) -> SequenceEncoder | None:
        """Check and load a bundle; None where it is refused."""
        try:
            return await asyncio.to_thread(
                SequenceEncoder.load,
                Path(wanted.uri),
                key_of=item_key,
                expected_digest=wanted.digest,
            )
        except BundleRefused as error:
            self._metrics.models.refusals.of(BUNDLE_KIND).inc()
            logger.error("Bundle refused, the one in use stays: %s", error)  # noqa: TRY400
            return None

    async def follow(self) -> None:
        """Swap whenever something was announced, until cancelled."""
        while True:
            await self._announced.wait()
            await self.swap()

    def _count_swap(self, taken: Announcement) -> None:
        models = self._metrics.models
        models.info.clear()
        models.info.of(BUNDLE_KIND, str(taken.trained_at_ms), taken.short_digest).set(1)
        models.trained.of(BUNDLE_KIND).set(taken.trained_at_ms / 1000)
        models.loaded.of(BUNDLE_KIND).set(time.time())
        models.swaps.of(BUNDLE_KIND).inc()
        if reason := _ROLLBACKS.get(taken.decision):
            models.rollbacks.of(reason).inc()


def _digest_of(live: LiveModels | None) -> str | None:
    return None if live is None or live.encoder is None else live.encoder.bundle.digest
