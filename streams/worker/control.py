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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from featurestore.events import EventRefused, decode_item
from featurestore.keys import item_key
from models.bundle import Bundle, BundleRefused, load_bundle
from models.encoder import BUNDLE_KIND, SequenceEncoder
from models.rankers.ranker_bundle import RankerHead, ServedRanker
from streams.announcements import (
    CHALLENGING,
    Announcement,
    AnnouncementCorrupt,
    Decision,
    Place,
    Role,
    decode_announcement,
    place_of,
)
from streams.engine import Record, TopicReader
from streams.metrics import WorkerMetrics
from streams.pipeline.live import TRANSFORMER, LiveModels, kind_of_model, source_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
    """Takes up the bundles that `models` names as current, and the transformer's challenger."""

    def __init__(
        self,
        live: LiveModels,
        metrics: WorkerMetrics,
        *,
        ranker: RankerHead | None = None,
        repeats: bool = False,
    ) -> None:
        """Take nothing up yet.

        Args:
            live: The models, whose configuration names the sources that ask bundles.
            metrics: Count what is taken up and what is refused.
            ranker: What is to order lists by a bundle, if anything is.
            repeats: Whether lists hold what their user has acted upon.
        """
        self._repeats = repeats
        self._live = live
        self._metrics = metrics
        self._ranker = ranker
        names = live.online.config.bundle_sources + (() if ranker is None else (ranker.name,))
        self._name_of_kind = {kind_of_model(name): name for name in names}
        self._latest: dict[Place, Announcement] = {}
        self._announced = asyncio.Event()

    def take(self, partition: int, records: Sequence[Record]) -> None:
        """Note what was announced; the last word on a role of a kind counts."""
        for record in records:
            place = place_of(record.key, self._name_of_kind)
            if place is None or record.value is None:
                continue
            try:
                self._latest[place] = decode_announcement(record.value)
            except AnnouncementCorrupt as error:
                self._metrics.models.refusals.of(place.kind).inc()
                logger.error("models-%d at %d: %s", partition, record.offset, error)  # noqa: TRY400
            else:
                self._announced.set()

    def reader(self, brokers: Sequence[str], topic: str) -> TopicReader:
        """Return what reads the topic."""
        return TopicReader(brokers, topic, on_records=self.take)

    async def swap(self) -> None:
        """Take up what was announced last, if these are other bundles than those in use."""
        self._announced.clear()
        for kind, name in self._name_of_kind.items():
            wanted = self._latest.get(Place(kind, Role.CURRENT))
            if wanted is None or wanted.digest == self._live.digest_of(name):
                continue
            if await self._take_up(name, wanted):
                self._count_swap(kind, wanted)
        await self._swap_challenger()

    async def _take_up(self, name: str, wanted: Announcement) -> bool:
        """Ask this bundle as the source or ranker of a name; False where it is refused."""
        if name == TRANSFORMER:
            encoder = await self._loaded(BUNDLE_KIND, wanted, _encoder_of)
            if encoder is not None:
                self._live.use(encoder)
            return encoder is not None

        if self._ranker is not None and name == self._ranker.name:
            ranker = await self._loaded(
                self._ranker.kind, wanted, partial(ServedRanker, self._ranker)
            )
            if ranker is not None:
                self._live.rank_by(ranker)
            return ranker is not None

        source = await self._loaded(
            kind_of_model(name),
            wanted,
            lambda bundle: source_of(name, bundle, self._live, repeats=self._repeats),
        )
        if source is not None:
            self._live.serve(source, wanted.digest)
        return source is not None

    async def _swap_challenger(self) -> None:
        """Compare with the challenger announced, as long as it is one."""
        wanted = self._latest.get(Place(BUNDLE_KIND, Role.CHALLENGER))
        current = _digest_of(self._live)
        if wanted is None or wanted.decision not in CHALLENGING or wanted.digest == current:
            self._live.challenge(None)
        elif wanted.digest != _digest_of(self._live.challenger):
            self._live.challenge(await self._loaded(BUNDLE_KIND, wanted, _encoder_of))

    async def _loaded(
        self, kind: str, wanted: Announcement, load: Callable[[Bundle], T]
    ) -> T | None:
        """Check and load a bundle of the kind that the record's key named; None where refused."""

        def checked() -> T:
            bundle = load_bundle(Path(wanted.uri), expected_digest=wanted.digest)
            if bundle.config.kind != kind:
                raise BundleRefused(
                    f"{bundle.folder}: kind {bundle.config.kind!r} found, {kind!r} expected, as "
                    "the key of its announcement says; promote it with `headrace models promote`"
                )
            return load(bundle)

        try:
            return await asyncio.to_thread(checked)
        except BundleRefused as error:
            self._metrics.models.refusals.of(kind).inc()
            logger.error("Bundle refused, the one in use stays: %s", error)  # noqa: TRY400
            return None

    async def follow(self) -> None:
        """Swap whenever something was announced, until cancelled."""
        while True:
            await self._announced.wait()
            await self.swap()

    def _count_swap(self, kind: str, taken: Announcement) -> None:
        models = self._metrics.models
        models.info.clear(kind)
        models.info.of(kind, str(taken.trained_at_ms), taken.short_digest).set(1)
        models.trained.of(kind).set(taken.trained_at_ms / 1000)
        models.loaded.of(kind).set(time.time())
        models.swaps.of(kind).inc()
        if reason := _ROLLBACKS.get(taken.decision):
            models.rollbacks.of(reason).inc()


def _encoder_of(bundle: Bundle) -> SequenceEncoder:
    return SequenceEncoder(bundle, key_of=item_key)


def _digest_of(live: LiveModels | None) -> str | None:
    return None if live is None or live.encoder is None else live.encoder.bundle.digest
