"""How does a slice of `events` become states and lists in the store, effectively once?

For each chunk: load the states of its users, let the pipeline work, have the dead letters and the
examples acknowledged by Kafka, and only then write states, lists and the checkpoint in one atomic
step that succeeds for one owner only. A crash in between repeats a chunk; the learner drops the
repeated examples, and the states are what they were. This module sequences, and decides nothing
that a pure module could.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import faust

from featurestore.catalogue import Catalogue
from featurestore.events import UserId
from featurestore.redis_store import RedisStore
from featurestore.state import EMPTY_STATE, UserState
from featurestore.store import Store
from streams.config import Config
from streams.dead_letters import dead_letter_of
from streams.engine import (
    TP,
    AckedProducer,
    EngineConfig,
    FatalEngineError,
    OutgoingRecord,
    Slice,
    SliceApp,
    build_app,
    fail_stop,
    run_app,
)
from streams.examples import encode_record
from streams.metrics import WorkerMetrics, serve_metrics
from streams.pipeline.chunks import Chunk, chunks_of
from streams.pipeline.composition import build_pipeline
from streams.pipeline.decoding import decode
from streams.pipeline.live import LiveModels
from streams.pipeline.pipeline import ChunkInput, Effects
from streams.pipeline.stopwatch import Stopwatch
from streams.worker.accounting import WorkerAccounts
from streams.worker.feeds import Feeds
from streams.worker.in_flight import WorkInFlight
from streams.worker.ownership import OwnedPartition
from streams.worker.step_sizes import StepSizes
from streams.worker.storing import WorkerStore
from streams.worker.takeover import OwnedPartitions
from streams.worker.together import Together
from streams.worker.waiting_slices import WaitingSlices

MAX_RECORD_BYTES: Final = 15 * 1024 * 1024
"""Largest record of examples or dead letters; their topics allow a little more."""
SETTLE_S: Final = 2.0
"""How long a rebalance or a stop waits for writes; the group waits a second longer."""
_MAX_WAITING: Final = 4
"""Slices of a partition that are fetched before the first of them is written."""
_FEW_EVENTS: Final = 64
"""Fewer than this may wait a little for more to come."""
_SWITCH_S: Final = 0.0002
"""How long the fetching thread may be kept waiting by a chunk that is computed. It goes through its
event loop several times for a fetch; Python's default of 5 ms would be paid each time."""
_LOOK_S: Final = 0.5
_LOOKS_PER_MEASURE: Final = 20


def run_worker(config: Config) -> int:
    """Run a worker until it is stopped or fails; return its exit code."""
    metrics = WorkerMetrics()
    server = serve_metrics(metrics.registry, config.worker.metrics_port)
    try:
        app = build_worker(config, metrics)
        collect_rarely()
        sys.setswitchinterval(_SWITCH_S)
        return run_app(app)
    finally:
        server.close()


def collect_rarely() -> None:
    """Keep the garbage collector out of the chunks.

    A chunk makes thousands of tuples that go with it and are in no cycle; looking through them and
    through the cached states every 700 allocations costs a tenth of the worker's time.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def build_worker(config: Config, metrics: WorkerMetrics) -> SliceApp:
    """Compose a worker from its configuration."""
    store = RedisStore.connect(
        config.redis.url.reveal(),
        topic=config.kafka.topics.events,
        deadline_s=config.redis.timeout_s,
    )
    return Worker(config, store=store, metrics=metrics).app


class Worker:
    """The agent of `events` and what it owns."""

    def __init__(self, config: Config, *, store: Store, metrics: WorkerMetrics) -> None:
        self._config = config
        self._accounts = WorkerAccounts(metrics)
        self._store = WorkerStore(
            store,
            self._accounts,
            ttl_ms=config.ttl_ms,
            max_pause_s=config.redis.retry_s,
        )
        self._live = LiveModels(config.online_models(), Catalogue(numeric=config.features.numeric))
        self._feeds = Feeds(config, self._live, store, metrics)
        self._pipeline = build_pipeline(config, self._live)
        self._watch = Stopwatch(metrics.processing.stage_duration)
        self._partitions = OwnedPartitions(
            config, self._store, self._accounts, fold_version=self._pipeline.fold_version
        )
        # A chunk, a batch of owed lists and an assignment exclude each other.
        self._turn = asyncio.Lock()
        self._together = Together(self._compute, self._turn, max_events=config.worker.chunk_events)
        self._work = WorkInFlight()
        self._waiting = WaitingSlices()
        self._sizes = StepSizes(
            config.worker, config.ranking, max_candidates=config.retrieval.max_candidates
        )
        self.app = self._build_app()

    def _build_app(self) -> SliceApp:
        kafka, worker = self._config.kafka, self._config.worker
        app = build_app(
            EngineConfig(
                app_id=worker.group,
                brokers=kafka.brokers,
                max_slice_records=worker.slice_events,
                max_buffered_slices=_MAX_WAITING,
                fetch_wait_ms=10,
                stall_timeout_s=worker.stall_timeout_s,
            ),
            start_offsets=self._start_offsets,
            on_lost=self._partitions.lost,
        )
        app.acked_producer = AckedProducer(
            brokers=kafka.brokers, max_request_bytes=MAX_RECORD_BYTES
        )

        @app.agent(app.topic(kafka.topics.events))
        async def work(slices: faust.StreamT[Slice]) -> None:
            # Acknowledged when it is written; until then slices of other partitions come, and a
            # few more of its own.
            async for event in cast("faust.Stream[Slice]", slices).noack().events():
                slice_ = cast("Slice", event.value)
                self._accounts.received(slice_)
                room = self._sizes.room(is_behind=self._is_behind(slice_.partition))
                await self._waiting.put(slice_, event.ack, max_records=room)
                if not self._work.is_busy(slice_.partition):
                    await self._work.settled(slice_.partition)
                    self._work.start(slice_.partition, self._work_off(slice_.partition))

        app.task(self._watch_progress)
        app.task(self._pay_lists)
        app.on_partitions_revoked.connect(self._settle)
        app.on_before_shutdown.connect(self._settle)
        return app

    # --- positions ---

    async def _start_offsets(self, tps: frozenset[TP]) -> Mapping[TP, int]:
        """Take the assigned partitions over where their checkpoints stand."""
        await self._work.all_settled()
        try:
            async with self._turn:
                await self._feeds.start(self.app)
                return await self._partitions.take_over(tps)
        except FatalEngineError as error:
            # The engine would report its own error, and with it another exit code.
            self.app.control.fail(error)
            raise

    async def _settle(self, *_: object, **__: object) -> None:
        """Let what is on its way arrive before others take over; not for ever."""
        await self._work.all_settled(timeout_s=SETTLE_S)

    # --- slices ---

    async def _work_off(self, partition: int) -> None:
        """Bring into the store what waits of a partition, beside other partitions."""
        with fail_stop(self.app, f"working on partition {partition}"):
            while num_records := self._waiting.num_records(partition):
                if num_records < _FEW_EVENTS:
                    await self._together.rest()
                at_once = self._sizes.at_once(is_behind=self._is_behind(partition))
                taken = self._waiting.take(partition, max_records=at_once)
                await self._handle(taken.slice_)
                self._waiting.finish(taken)

    async def _handle(self, slice_: Slice) -> None:
        with self._watch.timed("decode"):
            decoded = decode(
                slice_.records,
                partition=slice_.partition,
                num_partitions=self._partitions.topic.num_partitions,
            )
        wants_lists = not self._is_behind(slice_.partition)
        for chunk in chunks_of(
            decoded,
            partition=slice_.partition,
            from_offset=slice_.base_offset,
            to_offset=slice_.next_offset,
            limits=self._sizes.limits(wants_lists=wants_lists),
        ):
            await self._process(chunk, wants_lists=wants_lists)

    async def _process(self, chunk: Chunk, *, wants_lists: bool) -> None:
        """Bring into the store what of a chunk no other owner has brought there."""
        owned = self._partitions[chunk.partition]
        while (rest := owned.not_yet_written(chunk)) is not None:
            with self._watch.timed("load"):
                states = await self._states_of(owned, [one.event.user_id for one in rest.events])
            effects = await self._together.effects_of(
                ChunkInput(rest, states, self._partitions.lost_before(owned, rest), wants_lists)
            )
            await self._log(rest, effects)
            new = self._partitions.checkpoint_at(rest.to_offset)
            with self._watch.timed("write"):
                ahead = await self._store.commit(
                    owned.number, owned.checkpoint, new, effects.states, effects.lists
                )
            if ahead is None:
                owned.written(new, effects, max_users=self._partitions.max_users)
                self._accounts.committed(rest, effects, now_s=time.time())
                return
            self._partitions.give_way(owned, ahead)

    def _compute(self, chunks: Sequence[ChunkInput]) -> list[Effects]:
        self._watch.start()
        return self._pipeline.process_all(
            chunks,
            self._live,
            topic_id=self._partitions.topic.topic_id,
            computed_at_ms=time.time_ns() // 1_000_000,
            laps=self._watch,
        )

    async def _states_of(
        self, owned: OwnedPartition, user_ids: Iterable[UserId]
    ) -> dict[UserId, UserState]:
        """The states of those users who have one, from memory or from the store."""
        wanted = dict.fromkeys(user_ids)
        states = {
            user_id: state for user_id in wanted if (state := owned.states.get(user_id)) is not None
        }
        if len(states) < len(wanted):
            missing = [user_id for user_id in wanted if user_id not in states]
            states.update(await self._store.load(owned.number, missing))
        return states

    async def _log(self, chunk: Chunk, effects: Effects) -> None:
        """Have Kafka acknowledge the dead letters and the examples of a chunk."""
        topics, deadline_s = self._config.kafka.topics, self._config.kafka.produce_timeout_s
        letters = [
            dead_letter_of(one.record, one.refusal, topic=topics.events, partition=chunk.partition)
            for one in chunk.refused
        ]
        with self._watch.timed("log"):
            if letters:
                await self.app.produce_acked(topics.dead_letters, letters, deadline_s=deadline_s)
            record = OutgoingRecord(value=encode_record(effects.record), partition=0)
            await self.app.produce_acked(topics.examples, [record], deadline_s=deadline_s)

    # --- lists that are owed after catching up ---

    def _is_behind(self, partition: int) -> bool:
        progress = self.app.progress().get(TP(self._partitions.topic.name, partition))
        return progress is not None and progress.lag > self._config.worker.catch_up_events

    async def _pay_lists(self) -> None:
        """Give every user one list when the partition has caught up."""
        with fail_stop(self.app, "building the lists that are owed"):
            while not self.app.control.is_stopping:
                paid = [await self._pay_some(one.number) for one in self._partitions.all()]
                if not any(paid):
                    await asyncio.sleep(_LOOK_S)

    async def _pay_some(self, number: int) -> bool:
        """Build one batch of a partition's owed lists; say whether there was any."""
        await self._work.settled(number)
        async with self._turn:
            owned = self._partitions.get(number)
            if owned is None or not owned.owed or self._is_behind(number):
                return False
            if self._work.is_busy(number):
                return True
            if owned.checkpoint is None:
                raise AssertionError("lists are owed for events that were written")
            owed = owned.first_owed(self._config.worker.chunk_users)
            states = await self._states_of(owned, owed)
            self._watch.start()
            listing = self._pipeline.lists_at(
                owned.checkpoint.next_offset - 1,
                number,
                {
                    user_id: (states.get(user_id, EMPTY_STATE), trigger)
                    for user_id, trigger in owed.items()
                },
                self._live,
                computed_at_ms=time.time_ns() // 1_000_000,
                laps=self._watch,
            )
            lists = {made.user_id: made for made in listing.lists}
            ahead = await self._store.commit(number, owned.checkpoint, owned.checkpoint, {}, lists)
            if ahead is not None:
                self._partitions.give_way(owned, ahead)
                return False
            owned.paid(lists)
            self._accounts.listed(listing)
            return True

    async def _watch_progress(self) -> None:
        delays = self._accounts.metrics.processing.event_loop_delay
        for look in itertools.count(1):
            if self.app.control.is_stopping:
                return
            started_s = time.perf_counter()
            await asyncio.sleep(_LOOK_S)
            delays.observe(max(0.0, time.perf_counter() - started_s - _LOOK_S))
            self._accounts.progress(self.app.progress(), self._partitions.all())
            if look % _LOOKS_PER_MEASURE == 0:
                self._accounts.measure(self._live)
