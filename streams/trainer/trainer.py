"""How does the trainer run: the one process that refreshes the transformer, and a ranker in use?

It follows `examples` without a group, from where its saved history ends; trains when enough time or
enough actions have passed; and announces what passes the gate. It imports torch and nothing waits
for it: it yields the processor to the worker and the learner. Where `trainer.reads_attributes` says
so, it reads the topic of items before it trains.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from models.bundle import Bundle, BundleRefused, load_bundle
from models.encoder import BUNDLE_KIND
from models.history import History
from streams.announcements import Decision
from streams.config import Config
from streams.engine import KafkaError, UnreadableTopicError
from streams.errors import EXIT_REFUSED, StreamsError
from streams.examples import ExamplesCorrupt, decode_record
from streams.item_log import read_item_topic
from streams.metrics import TrainerMetrics, serve_metrics
from streams.model_registry import ModelRegistry
from streams.source_partitions import GapInExamples
from streams.topic_identity import identify_topic
from streams.trainer.answered_slates import AnsweredSlates
from streams.trainer.ranker_round import RankerRound
from streams.trainer.training_data import TrainingData
from streams.trainer.training_round import Trained, TrainingRound

logger = logging.getLogger(__name__)

_NICENESS: Final = 19
"""The trainer shares machines with the worker: it takes what the others leave."""

_AUTOGROUP: Final = Path("/proc/self/autogroup")
_POLL_MS: Final = 1000
_MAX_FETCH_BYTES: Final = 16 * 1024 * 1024
_SAVED: Final = "history"
_ITEMS_TIMEOUT_S: Final = 30.0
"""Nothing else is done meanwhile, not even stopping."""
_LOOK_S: Final = 5.0
"""Time between two looks whether enough slates are there: each goes through all of them."""


def run_trainer(config: Config) -> int:
    """Run the trainer until it is stopped; return its exit code."""
    take_what_is_left()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics = TrainerMetrics()
    server = serve_metrics(metrics.registry, config.trainer.metrics_port)
    try:
        Trainer(config, metrics).run(stop)
    except (GapInExamples, ExamplesCorrupt, StreamsError):
        logger.exception("The trainer stops")
        return EXIT_REFUSED
    finally:
        server.close()
    return 0


def take_what_is_left() -> None:
    """Let every other process of this machine go first.

    Niceness shares out time; that others are not kept waiting when they wake up takes the idle
    policy. Linux without control groups weighs sessions against each other, and both within a
    session only (sched_autogroup): a trainer that leads a session of its own asks once more.
    """
    os.nice(_NICENESS)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if os.getsid(0) == os.getpid():
        # Not there on other systems, and of no effect where control groups decide.
        with contextlib.suppress(OSError):
            _AUTOGROUP.write_text(str(_NICENESS))


def read_on(
    consumer: KafkaConsumer,
    partition: TopicPartition,
    data: TrainingData,
    slates: AnsweredSlates | None = None,
) -> bool:
    """Read some records; say whether all was read that was there when this began.

    The log's end is asked for before reading: afterwards more has come, always, under steady
    traffic.
    """
    end = consumer.end_offsets([partition])[partition]
    fetched = consumer.poll(timeout_ms=_POLL_MS, max_records=500)
    for record in fetched.get(partition, ()):
        example = decode_record(record.value)
        data.append(example, record.offset)
        if slates is not None:
            slates.take(example, record.offset)
    return bool(consumer.position(partition) >= end)


def is_described(history: History, config: Config) -> bool:
    """Take in what the topic of items tells by now; whether it could be read.

    Training without it would make a bundle forget what attributes have taught.
    """
    try:
        told = read_item_topic(config, timeout_s=_ITEMS_TIMEOUT_S).attributes
    except (KafkaError, TimeoutError, UnreadableTopicError) as error:
        logger.warning("Nothing is trained: the topic of items cannot be read (%r)", error)
        return False
    history.describe({item: told[item] for item in history.item_ids if item in told})
    return True


class Trainer:
    """Follows the log, and trains now and then."""

    def __init__(self, config: Config, metrics: TrainerMetrics) -> None:
        """Compose the trainer; nothing is read yet."""
        self._config = config
        self._metrics = metrics
        self._folder = Path(config.trainer.folder)
        self._registry = ModelRegistry(
            self._folder, config.kafka.brokers, config.kafka.topics.models
        )
        topic = identify_topic(config.kafka.brokers, config.kafka.topics.examples)
        self._data = TrainingData(
            config.online,
            topic_id=topic.topic_id,
            side=config.side,
            capacity=config.trainer.max_actions,
            counter_rows=config.trainer.counter_actions,
        )
        self._data.load(self._folder / _SAVED)
        self._round = TrainingRound(
            config, self._data, metrics, folder=self._folder, announce=self._announce
        )
        self._tried_s = time.monotonic()
        self._tried_row = 0
        self._ranker = self._ranker_round()
        self._ranker_due_s = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Follow the log until told to stop, then keep what was read.

        Raises:
            GapInExamples: Records of the log are missing; delete the saved history.
            ExamplesCorrupt: A record is none of this release.
        """
        partition = TopicPartition(self._config.kafka.topics.examples, 0)
        with closing(self._consumer()) as consumer:
            consumer.assign([partition])
            begin = consumer.beginning_offsets([partition])[partition]
            # Slates are not kept over a restart: they are joined anew from all that the log has.
            kept = 0 if self._ranker is not None else self._data.history.offset
            consumer.seek(partition, max(begin, kept))
            while not stop.is_set():
                slates = None if self._ranker is None else self._ranker.slates
                has_caught_up = read_on(consumer, partition, self._data, slates)
                self._metrics.consumer.last_progress.set(time.time())
                if has_caught_up and self._is_due():
                    self._train(stop)
                if has_caught_up and self._ranker is not None:
                    self._refresh(self._ranker, stop)
        self._data.save(self._folder / _SAVED)

    def _ranker_round(self) -> RankerRound | None:
        """What keeps the ranker fresh that `ranking.head` names; None where it names none."""
        head = self._config.ranker_head()
        if head is None:
            return None

        def announce(bundle: Bundle, reason: str) -> None:
            self._registry.announce(bundle, decision=Decision.GATE, reason=reason)

        return RankerRound(
            self._config, head, self._metrics, folder=self._folder, announce=announce
        )

    def _refresh(self, ranker: RankerRound, stop: threading.Event) -> None:
        """Train the ranker anew, at the first chance and then after `interval_s` each time."""
        trainer, now_s = self._config.trainer, time.monotonic()
        if now_s < self._ranker_due_s:
            return
        self._ranker_due_s = now_s + _LOOK_S
        if ranker.num_new < trainer.min_actions:
            return
        self._compare_with_current(ranker)
        if ranker.num_new < trainer.min_actions:
            return
        trained = ranker.run(is_stopped=stop.is_set)
        self._ranker_due_s = time.monotonic() + trainer.interval_s
        self._count(trained)

    def _compare_with_current(self, ranker: RankerRound) -> None:
        """Let the bundle in force be the one to beat, if workers can use it."""
        current, kind = self._registry.current(ranker.head.kind), ranker.head.kind
        if current is None:
            return
        try:
            bundle = load_bundle(Path(current.uri), expected_digest=current.digest)
            ranker.head.load(bundle)
        except BundleRefused as error:
            self._metrics.models.refusals.of(kind).inc()
            logger.error("The bundle in force is not compared with: %s", error)  # noqa: TRY400
            ranker.incumbent = None
        else:
            ranker.incumbent = bundle

    def _consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=list(self._config.kafka.brokers),
            enable_auto_commit=False,
            max_partition_fetch_bytes=_MAX_FETCH_BYTES,
        )

    def _go_on_from_current(self) -> None:
        """Warm-start from the bundle in force, if it is another one that can be read.

        A trainer before this one may have announced it, or an operator who has rolled back.
        """
        current = self._registry.current(BUNDLE_KIND)
        if current is None or self._round.digest == current.digest:
            return
        try:
            self._round.go_on_from(load_bundle(Path(current.uri), expected_digest=current.digest))
        except BundleRefused as error:
            self._metrics.models.refusals.of(BUNDLE_KIND).inc()
            # The bundle gone on from so far, or random weights.
            logger.error("The bundle in force is not gone on from: %s", error)  # noqa: TRY400

    def _announce(self, bundle: Bundle, reason: str) -> None:
        """Have a bundle compared with the current one on live traffic; the first one is current."""
        is_first = self._registry.current(bundle.config.kind) is None
        decision = Decision.GATE if is_first else Decision.CANDIDATE
        self._registry.announce(bundle, decision=decision, reason=reason)

    def _is_due(self) -> bool:
        """Whether a training should begin: at the first chance, later by time or by actions."""
        trainer = self._config.trainer
        num_new = self._round.num_new_actions
        if num_new < trainer.min_actions:
            return False
        # A refused round leaves its actions new: what counts is what came since.
        num_since = min(num_new, self._data.history.end_row - self._tried_row)
        return (
            self._round.digest is None
            or time.monotonic() - self._tried_s >= trainer.interval_s
            or num_since >= trainer.interval_actions
        )

    def _train(self, stop: threading.Event) -> None:
        self._go_on_from_current()
        if not self._is_due():
            return
        reads = self._config.trainer.reads_attributes
        if reads and not is_described(self._data.history, self._config):
            # The next try is when a training would be due again.
            self._tried_s, self._tried_row = time.monotonic(), self._data.history.end_row
            return
        trained = self._round.run(is_stopped=stop.is_set)
        self._tried_s = time.monotonic()
        self._tried_row = self._data.history.end_row
        self._count(trained)
        self._data.save(self._folder / _SAVED)

    def _count(self, trained: Trained) -> None:
        self._metrics.training.runs.of(trained.value).inc()
        if trained is Trained.PROMOTED:
            self._metrics.training.last_success.set_to_current_time()
