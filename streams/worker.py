"""How does a slice of `events` become states and lists in the store, effectively once?

For each chunk: load the states of its users, let the pipeline work, have the dead letters and the
examples acknowledged by Kafka, and only then write states, lists and the checkpoint in one atomic
step that succeeds for one owner only. A crash in between repeats a chunk; the learner drops the
repeated examples, and the states are what they were. This module sequences, and decides nothing
that a pure module could.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import ChainMap
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import faust

from featurestore.codec import decode_state, encode_state
from featurestore.events import UserId
from featurestore.lists import encode_list
from featurestore.redis_store import RedisStore
from featurestore.state import UserState
from featurestore.store import (
    Ahead,
    Checkpoint,
    CommitResult,
    Committed,
    Missing,
    Store,
    StoreUnavailable,
)
from streams.accounting import WorkerAccounts
from streams.chunks import Chunk, chunks_of
from streams.config import Config
from streams.dead_letters import dead_letter_of
from streams.decoding import decode
from streams.engine import (
    TP,
    AckedProducer,
    EngineConfig,
    FatalEngineError,
    OutgoingRecord,
    Slice,
    SliceApp,
    build_app,
    run_app,
)
from streams.errors import RestartNeeded, StartRefused
from streams.examples import encode_record
from streams.metrics import WorkerMetrics, serve_metrics
from streams.ownership import NOTHING_LOST, OwnedPartition, start_offset
from streams.pipeline import Effects, Pipeline
from streams.retrying import until_answered
from streams.stopwatch import Stopwatch
from streams.topic_identity import TopicIdentity, TopicUnknown, identify_topic

T = TypeVar("T")

logger = logging.getLogger(__name__)

MAX_RECORD_BYTES: Final = 15 * 1024 * 1024
"""Largest record of examples or dead letters; their topics allow a little more."""


def run_worker(config: Config) -> int:
    """Run a worker until it is stopped or fails; return its exit code."""
    metrics = WorkerMetrics()
    server = serve_metrics(metrics.registry, config.worker.metrics_port)
    try:
        return run_app(build_worker(config, metrics))
    finally:
        server.close()


def build_worker(config: Config, metrics: WorkerMetrics) -> SliceApp:
    """Compose a worker from its configuration."""
    store = RedisStore.connect(
        config.redis.url.reveal(),
        topic=config.kafka.topics.events,
        deadline_s=config.redis.timeout_s,
    )
    pipeline = Pipeline(
        table=config.action_table(), rules=config.fold_rules(), config_digest=config.digest()
    )
    return Worker(config, store=store, pipeline=pipeline, accounts=WorkerAccounts(metrics)).app


class Worker:
    """The agent of `events` and what it owns."""

    def __init__(
        self, config: Config, *, store: Store, pipeline: Pipeline, accounts: WorkerAccounts
    ) -> None:
        self._config = config
        self._store = store
        self._pipeline = pipeline
        self._accounts = accounts
        self._watch = Stopwatch(accounts.metrics.processing.stage_duration)
        self._owned: dict[int, OwnedPartition] = {}
        self._topic: TopicIdentity | None = None
        self.app = self._build_app()

    def _build_app(self) -> SliceApp:
        kafka, worker = self._config.kafka, self._config.worker
        app = build_app(
            EngineConfig(
                app_id=worker.group,
                brokers=kafka.brokers,
                max_slice_records=worker.slice_events,
                stall_timeout_s=worker.stall_timeout_s,
            ),
            start_offsets=self._start_offsets,
            on_lost=self._accounts.lost,
        )
        app.acked_producer = AckedProducer(
            brokers=kafka.brokers, max_request_bytes=MAX_RECORD_BYTES
        )

        @app.agent(app.topic(kafka.topics.events))
        async def work(slices: faust.StreamT[Slice]) -> None:
            async for slice_ in slices:
                await self._handle(slice_)

        app.task(self._watch_progress)
        return app

    # --- positions ---

    async def _start_offsets(self, tps: frozenset[TP]) -> Mapping[TP, int]:
        """Take the assigned partitions over where their checkpoints stand."""
        try:
            self._topic = topic = await self._identify()
            owned = {tp.partition: await self._take_over(tp.partition, topic) for tp in tps}
            offsets = {tp: self._offset_of(owned[tp.partition].checkpoint, tp) for tp in tps}
        except FatalEngineError as error:
            # The engine would report its own error, and with it another exit code.
            self.app.control.fail(error)
            raise
        self._owned = owned
        self._accounts.assigned(owned)
        return offsets

    async def _identify(self) -> TopicIdentity:
        topic = await self._until_answered(
            lambda: asyncio.to_thread(
                identify_topic, self._config.kafka.brokers, self._config.kafka.topics.events
            ),
            transient=TopicUnknown,
        )
        recorded = await self._ask(
            "checkpoint",
            lambda: self._store.record_partitions(topic.name, topic.num_partitions),
        )
        if recorded != topic.num_partitions:
            raise StartRefused(
                f"topic {topic.name!r} has {topic.num_partitions} partitions, but the states in "
                f"the store were written when it had {recorded}: users have moved to other "
                "partitions. Follow docs/migrate-partitions.md, or bring back the former count"
            )
        return topic

    async def _take_over(self, partition: int, topic: TopicIdentity) -> OwnedPartition:
        checkpoint = await self._ask(
            "checkpoint", lambda: self._store.checkpoint(topic.name, partition)
        )
        held = self._owned.get(partition)
        if held is not None and held.checkpoint == checkpoint:
            return held
        return OwnedPartition(number=partition, checkpoint=checkpoint)

    def _offset_of(self, checkpoint: Checkpoint | None, tp: TP) -> int:
        return start_offset(
            checkpoint,
            topic=tp.topic,
            partition=tp.partition,
            topic_id=self._known_topic.topic_id,
            fold_version=self._pipeline.fold_version,
        )

    # --- slices ---

    async def _handle(self, slice_: Slice) -> None:
        self._accounts.received(slice_)
        self._watch.start()
        decoded = decode(
            slice_.records,
            partition=slice_.partition,
            num_partitions=self._known_topic.num_partitions,
        )
        self._watch.lap("decode")
        for chunk in chunks_of(
            decoded,
            partition=slice_.partition,
            from_offset=slice_.base_offset,
            to_offset=slice_.next_offset,
            max_events=self._config.worker.chunk_events,
            max_triggered=self._config.worker.chunk_users,
        ):
            await self._process(chunk)

    async def _process(self, chunk: Chunk) -> None:
        """Bring one chunk into the store, or what of it another owner has left."""
        owned = self._owned[chunk.partition]
        rest: Chunk | None = chunk
        while rest is not None:
            effects = await self._compute(owned, rest)
            await self._log(rest, effects)
            ahead = await self._commit(owned, rest, effects)
            if ahead is None:
                return
            # Whoever it was, what he wrote is right: go on behind it.
            self._accounts.rejected()
            next_offset = self._offset_of(ahead, TP(self._known_topic.name, chunk.partition))
            owned.forget(ahead)
            rest = rest.after(next_offset)

    async def _compute(self, owned: OwnedPartition, chunk: Chunk) -> Effects:
        self._watch.start()
        states = await self._states_of(owned, chunk)
        self._watch.lap("load")
        return self._pipeline.process(
            chunk,
            states,
            topic_id=self._known_topic.topic_id,
            lost_from=_lost_from(owned, chunk),
            computed_at_ms=time.time_ns() // 1_000_000,
            laps=self._watch,
        )

    async def _states_of(self, owned: OwnedPartition, chunk: Chunk) -> Mapping[UserId, UserState]:
        missing = owned.missing(event.user_id for _, event in chunk.events)
        if missing:
            values = await self._ask("load", lambda: self._store.load_states(owned.number, missing))
            loaded = {
                user_id: decode_state(value)
                for user_id, value in zip(missing, values, strict=True)
                if value is not None
            }
            return ChainMap(loaded, owned.states)
        return owned.states

    async def _log(self, chunk: Chunk, effects: Effects) -> None:
        """Have Kafka acknowledge the dead letters and the examples of a chunk."""
        self._watch.start()
        topics, deadline_s = self._config.kafka.topics, self._config.kafka.produce_timeout_s
        letters = [
            dead_letter_of(one.record, one.refusal, topic=topics.events, partition=chunk.partition)
            for one in chunk.refused
        ]
        if letters:
            await self.app.produce_acked(topics.dead_letters, letters, deadline_s=deadline_s)
        record = OutgoingRecord(value=encode_record(effects.record), partition=0)
        await self.app.produce_acked(topics.examples, [record], deadline_s=deadline_s)
        self._watch.lap("log")

    async def _commit(
        self, owned: OwnedPartition, chunk: Chunk, effects: Effects
    ) -> Checkpoint | None:
        """Write a chunk's effects.

        Returns:
            None, or the checkpoint of another owner that stands further on.

        Raises:
            RestartNeeded: The checkpoint is gone or behind.
        """
        new = Checkpoint(
            topic_id=self._known_topic.topic_id,
            next_offset=chunk.to_offset,
            fold_version=self._pipeline.fold_version,
        )
        states = {user_id: encode_state(state) for user_id, state in effects.states.items()}
        lists = {user_id: encode_list(made) for user_id, made in effects.lists.items()}

        def write() -> Awaitable[CommitResult]:
            return self._store.commit(
                owned.number, owned.checkpoint, new, states, lists, self._config.ttl_ms
            )

        result = await self._ask("commit", write)
        self._watch.lap("write")
        match result:
            case Missing(current):
                raise RestartNeeded(
                    f"the checkpoint of partition {owned.number} is {current}, expected "
                    f"{owned.checkpoint}: the store was flushed or restored under this worker; "
                    "starting again from what the store holds"
                )
            # An attempt of ours whose answer was lost has written just this.
            case Ahead(current) if current != new:
                return current
            case Ahead() | Committed():
                owned.checkpoint = new
                owned.remember(effects.states, self._cached_users_per_partition)
                self._accounts.committed(chunk, effects.outcomes, now_s=time.time())
        return None

    @property
    def _cached_users_per_partition(self) -> int:
        return self._config.worker.cached_users // max(1, len(self._owned))

    # --- what waits ---

    async def _ask(self, command: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call the store until it answers; the time is that of the attempt that succeeds."""
        durations = self._accounts.metrics.redis.command_duration.of(command)

        async def timed() -> T:
            with durations.time():
                return await call()

        return await self._until_answered(timed, transient=StoreUnavailable)

    async def _until_answered(
        self, call: Callable[[], Awaitable[T]], *, transient: type[Exception]
    ) -> T:
        return await until_answered(
            call,
            transient=transient,
            max_pause_s=self._config.redis.retry_s,
            on_fault=self._accounts.store_failed,
        )

    async def _watch_progress(self) -> None:
        delays = self._accounts.metrics.processing.event_loop_delay
        while not self.app.control.is_stopping:
            started_s = time.perf_counter()
            await asyncio.sleep(_LOOK_S)
            delays.observe(max(0.0, time.perf_counter() - started_s - _LOOK_S))
            self._accounts.progress(self.app.progress())

    @property
    def _known_topic(self) -> TopicIdentity:
        if self._topic is None:
            raise AssertionError("slices come only after start_offsets")
        return self._topic


_LOOK_S: Final = 0.5


def _lost_from(owned: OwnedPartition, chunk: Chunk) -> int:
    """Where retention has cut the log between the checkpoint and the chunk, or NOTHING_LOST."""
    if owned.checkpoint is None or owned.checkpoint.next_offset >= chunk.from_offset:
        return NOTHING_LOST
    return owned.checkpoint.next_offset
