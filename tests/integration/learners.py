"""Learners as processes, the log that they read, and what they must have learned from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from kafka import KafkaProducer

from featurestore.redis_store import RedisStore
from featurestore.store import BEFORE_ALL_DELTAS, Base
from models.online.online_models import OnlineModels
from models.online.tables import DeltaOutcome
from streams.config import Config, config_of
from streams.examples import ExamplesRecord, decode_record, encode_record
from streams.learner.fold import LearnerFold
from tests.integration.roles import RoleProcess
from tests.integration.stream_checks import values_of
from tests.streams.example_logs import START_MS, Source, action, impression, record_of, slate, visit

_LEARNER = (
    "import logging, os, sys; logging.basicConfig(level='INFO');"
    "from streams.config import load_config; from streams.learner.learner import run_learner;"
    "sys.exit(run_learner(load_config(None, os.environ, sys.argv[1:])))"
)
# As the logs of examples have it: with every model of the seconds clock.
EXTRA_SOURCES = ["transformer", "factors"]
CONFIG: Config = config_of({"online": {"extra_sources": EXTRA_SOURCES}})
LAYOUT = CONFIG.layout_digest(CONFIG.online_models())
NUM_PARTITIONS = 3


@contextmanager
def running_learner(
    tmp_path: Path, *, kafka: str, redis_url: str, prefix: str, number: int = 0, **settings: object
) -> Iterator[RoleProcess]:
    """Run a learner on the topic with this prefix; `a__b=value` is the setting `a.b`."""
    values = {"learner__delta_interval_s": 0.1, "learner__base_interval_s": 0.7, **settings}
    overrides = [f"kafka.topics.{name}={prefix}{name}" for name in ("examples", "items", "models")]
    overrides += [f"learner.group={prefix}learner", f"online.extra_sources={EXTRA_SOURCES}"]
    overrides += [f"{key.replace('__', '.')}={value}" for key, value in values.items()]
    learner = RoleProcess(
        name="learner",
        code=_LEARNER,
        overrides=tuple(overrides),
        environment={"HEADRACE_KAFKA": kafka, "HEADRACE_REDIS": redis_url},
        log_path=tmp_path / f"learner-{number}.log",
    )
    learner.start()
    try:
        yield learner
    finally:
        learner.stop()


def records_of_a_shop(num_records: int, seed: int = 1) -> list[ExamplesRecord]:
    """Slates, clicks and visits of several partitions, some chunks of which come twice."""
    generator = np.random.default_rng(seed)
    sources: list[list[Source]] = [[] for _ in range(NUM_PARTITIONS)]
    records: list[ExamplesRecord] = []
    for number in range(num_records):
        partition = int(generator.integers(NUM_PARTITIONS))
        start = len(sources[partition])
        for _ in range(int(generator.integers(1, 6))):
            ts_ms = START_MS + number * 5_000
            sources[partition].append(_event(generator, partition, ts_ms))
        repeated = int(generator.integers(0, min(start, 2) + 1))
        chunk = sources[partition][start - repeated :]
        records.append(record_of(chunk, start - repeated, partition=partition, layout=LAYOUT))
    return records


def _event(generator: np.random.Generator, partition: int, ts_ms: int) -> Source:
    user, request = f"u{partition}-{generator.integers(9)}", f"r{generator.integers(4)}"
    items = [f"i{n}" for n in generator.choice(40, 4, replace=False)]
    features = int(generator.integers(1000))
    match generator.integers(4):
        case 0:
            return impression(user, items, ts_ms, request=request, features=features)
        case 1:
            return action(user, items[0], ts_ms, request=request, previous=items[1:])
        case 2:
            return slate(user, items, ts_ms, features=features)
        case _:
            return visit(user, ts_ms)


def produce_records(bootstrap: str, topic: str, records: Sequence[ExamplesRecord]) -> None:
    """Append records to `examples`."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    for record in records:
        producer.send(topic, value=encode_record(record), partition=0)
    producer.flush()
    producer.close()


def learned_offline(bootstrap: str, topic: str, config: Config = CONFIG) -> OnlineModels:
    """What a fold of the topic's log learns, without learner, store or deltas."""
    online = config.online_models()
    layout = config.layout_digest(online)
    fold = LearnerFold(online, config.attribution, layout=layout, topic_id="any")
    for offset, value in enumerate(values_of(bootstrap, topic)[0]):
        fold.fold(decode_record(value or b""), offset)
    return online


def same_tables(first: OnlineModels, second: OnlineModels) -> bool:
    """Whether both hold the same cells for the same offset, whatever log they name."""
    first.tables.identity = second.tables.identity
    return first.snapshot() == second.snapshot()


def replica_of(redis_url: str, config: Config = CONFIG) -> OnlineModels:
    """What a worker that reads base and deltas now would hold."""
    return asyncio.run(_replica(redis_url, config))


async def _replica(redis_url: str, config: Config) -> OnlineModels:
    store = RedisStore.connect(redis_url)
    online = config.online_models()
    try:
        base = await store.load_base()
        if base is not None:
            online.restore(base.payload)
        after = BEFORE_ALL_DELTAS
        while deltas := await store.read_deltas(after, 0):
            for delta in deltas:
                assert online.apply_delta(delta.payload) is not DeltaOutcome.GAP
                after = delta.id
    finally:
        await store.close()
    return online


def base_of(redis_url: str) -> Base | None:
    """The base that the store holds."""

    async def load() -> Base | None:
        store = RedisStore.connect(redis_url)
        try:
            return await store.load_base()
        finally:
            await store.close()

    return asyncio.run(load())
