"""How does the learner run: the one process that reads `examples` and writes the online models?

The agent folds record after record; a task beside it publishes a delta about every second and a
base about every minute, also when nothing arrives. This module sequences, and decides nothing that
a pure module could: what is learned is `streams.learner.fold`, how it is kept
`streams.learner.publication`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import faust

from featurestore.catalogue import Catalogue
from featurestore.events import EventRefused, decode_item
from featurestore.redis_store import RedisStore
from featurestore.store import Store
from models.online.online_models import OnlineModels
from streams.config import Config
from streams.engine import (
    LOG_START,
    TP,
    EngineConfig,
    FatalEngineError,
    Record,
    Slice,
    SliceApp,
    TopicReader,
    build_app,
    fail_stop,
    run_app,
)
from streams.errors import RestartNeeded, StartRefused
from streams.examples import ExamplesCorrupt, decode_record
from streams.learner.accounts import LearnerAccounts
from streams.learner.fold import LearnerFold
from streams.learner.guard import Guard
from streams.learner.publication import Publication
from streams.learner.refill import LayoutMismatch
from streams.learner.shared_lists import SharedLists
from streams.metrics import LearnerMetrics, serve_metrics
from streams.source_partitions import GapInExamples
from streams.topic_identity import TopicIdentity, await_topic

_LOOK_S: Final = 0.5
_YIELD_S: Final = 0.02
"""Longest time that folding keeps the event loop from publishing."""


def run_learner(config: Config) -> int:
    """Run the learner until it is stopped or fails; return its exit code."""
    metrics = LearnerMetrics()
    server = serve_metrics(metrics.registry, config.learner.metrics_port)
    try:
        return run_app(build_learner(config, metrics))
    finally:
        server.close()


def build_learner(config: Config, metrics: LearnerMetrics) -> SliceApp:
    """Compose the learner from its configuration."""
    store = RedisStore.connect(
        config.redis.url.reveal(),
        topic=config.kafka.topics.events,
        deadline_s=config.redis.timeout_s,
    )
    return Learner(config, store=store, accounts=LearnerAccounts(metrics)).app


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the learner has once it knows its topic."""

    online: OnlineModels
    fold: LearnerFold
    publication: Publication


class Learner:
    """The agent of `examples`, and the models that it owns."""

    def __init__(self, config: Config, *, store: Store, accounts: LearnerAccounts) -> None:
        self._config = config
        self._store = store
        self._accounts = accounts
        self._catalogue = Catalogue()
        self._work: _Work | None = None
        self._guard = Guard(config, accounts.metrics)
        self.app = self._build_app()

    def _build_app(self) -> SliceApp:
        kafka, learner = self._config.kafka, self._config.learner
        app = build_app(
            EngineConfig(
                app_id=learner.group,
                brokers=kafka.brokers,
                stall_timeout_s=learner.stall_timeout_s,
            ),
            start_offsets=self._start_offsets,
            on_lost=lambda _, num_lost: self._accounts.lost_examples(num_lost),
        )

        @app.agent(app.topic(kafka.topics.examples))
        async def learn(slices: faust.StreamT[Slice]) -> None:
            async for slice_ in slices:
                await self._handle(slice_)

        app.task(self._follow_items)
        app.task(self._guard.follow)
        app.task(self._guard.keep_deciding)
        app.task(self._keep_publishing)
        app.task(self._watch_progress)
        return app

    # --- positions ---

    async def _start_offsets(self, tps: frozenset[TP]) -> Mapping[TP, int]:
        """Take over where the base stands, or go on where we are if nobody else was here."""
        if not tps:
            return {}
        try:
            offset = await self._position()
        except FatalEngineError as error:
            # The engine would report its own error, and with it another exit code.
            self.app.control.fail(error)
            raise
        return dict.fromkeys(tps, offset)

    async def _position(self) -> int:
        work = self._work
        if work is None:
            work = self._work = await self._take_over()
        elif not await work.publication.is_ours():
            raise RestartNeeded(
                "another learner took over while this one had no partition; starting again from "
                "the base that it saved"
            )
        return work.fold.next_offset or LOG_START

    async def _take_over(self) -> _Work:
        config = self._config
        topic = await self._identify()
        online = config.online_models()
        online.tables.identity["examples"] = topic.topic_id
        fold = LearnerFold(
            online,
            config.attribution,
            layout=config.layout_digest(online),
            topic_id=topic.topic_id,
        )
        publication = Publication(
            self._store, online, fold, self._accounts, max_pause_s=config.redis.retry_s
        )
        await publication.take_over()
        return _Work(online=online, fold=fold, publication=publication)

    async def _identify(self) -> TopicIdentity:
        kafka = self._config.kafka
        topic = await await_topic(
            kafka.brokers,
            kafka.topics.examples,
            max_pause_s=self._config.redis.retry_s,
            on_fault=self._accounts.broker_failed,
        )
        if topic.num_partitions != 1:
            raise StartRefused(
                f"topic {topic.name!r} has {topic.num_partitions} partitions, expected 1: learner "
                "and trainer rely on one total order. Delete it and create it with one partition"
            )
        return topic

    # --- learning ---

    async def _handle(self, slice_: Slice) -> None:
        work = self._work
        if work is None:
            raise AssertionError("slices come only after start_offsets")
        self._accounts.received(slice_)
        yielded_s = time.monotonic()
        for record in slice_.records:
            self._learn(record, work)
            if time.monotonic() - yielded_s > _YIELD_S:
                await asyncio.sleep(0)
                yielded_s = time.monotonic()

    def _learn(self, record: Record, work: _Work) -> None:
        try:
            example = decode_record(record.value or b"")
            effects = work.fold.fold(example, record.offset)
        except (ExamplesCorrupt, GapInExamples, LayoutMismatch) as error:
            raise StartRefused(f"examples at offset {record.offset}: {error}") from error
        self._accounts.learned(effects, example.partition, num_open=work.fold.num_open_slates)
        self._guard.take(effects.compared)
        if effects.is_learned:
            work.publication.learned(record.append_ms)

    # --- publishing ---

    async def _follow_items(self) -> None:
        """Know what has been withdrawn: nothing is learned of it, and it is in no shared list."""
        kafka = self._config.kafka
        with fail_stop(self.app, "following the catalogue"):
            reader = TopicReader(kafka.brokers, kafka.topics.items, on_records=self._take_items)
            async with reader:
                await reader.follow()

    def _take_items(self, _partition: int, records: Sequence[Record]) -> None:
        for record in records:
            try:
                self._catalogue.put(decode_item(record.value))
            except EventRefused:
                # Workers read the same topic, and count and report it.
                continue

    async def _keep_publishing(self) -> None:
        learner = self._config.learner
        delta = Interval(learner.delta_interval_s)
        shared = Interval(learner.shared_interval_s)
        base = Interval(learner.base_interval_s)
        while not self.app.control.is_stopping:
            await asyncio.sleep(min(_LOOK_S, learner.delta_interval_s) / 4)
            work = self._work
            if work is None or work.fold.is_refilling:
                continue
            now_s = time.monotonic()
            try:
                if delta.is_due(now_s):
                    await work.publication.publish_delta()
                    self._accounts.window_auc()
                if shared.is_due(now_s):
                    await self._put_shared(work)
                if base.is_due(now_s):
                    await work.publication.save_base()
            except FatalEngineError as error:
                self.app.control.fail(error)
                return

    async def _put_shared(self, work: _Work) -> None:
        config, learner = self._config, self._config.learner
        made = SharedLists(
            online=work.online,
            catalogue=self._catalogue,
            num_items=config.ranking.list_size,
            config_digest=config.digest(),
        )
        for lists in made.in_batches(
            num_categories=learner.popular_categories,
            num_similar=learner.similar_items,
            computed_at_ms=time.time_ns() // 1_000_000,
        ):
            await work.publication.put_shared(lists, ttl_ms=config.ttl_ms)

    async def _watch_progress(self) -> None:
        delays = self._accounts.metrics.processing.event_loop_delay
        while not self.app.control.is_stopping:
            started_s = time.perf_counter()
            await asyncio.sleep(_LOOK_S)
            delays.observe(max(0.0, time.perf_counter() - started_s - _LOOK_S))
            self._accounts.progress(self.app.progress())


@dataclass(slots=True)
class Interval:
    """Something that is done every so often; the first time at once.

    >>> interval = Interval(10.0)
    >>> [interval.is_due(now_s) for now_s in (5.0, 14.0, 15.0, 40.0)]
    [True, False, True, True]
    """

    length_s: float
    _due_s: float = 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether it is time; then the next time is an interval later."""
        if now_s < self._due_s:
            return False
        self._due_s = now_s + self.length_s
        return True
