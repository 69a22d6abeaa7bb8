"""How many events a second does one worker take, and where does its time go?

    python -m benchmarks.pipeline --kafka localhost:9092 --redis redis://localhost:6379/0

Kafka and Redis are real. 50,000 users already have 200 actions each; the events are one action of
each user in random order, again and again, so that a user occurs at most once a slice. One process,
one thread of BLAS. First a raw loop reads the same topic with aiokafka's getmany and orjson; then a
worker folds it without lists (as it does while catching up), then with a list for every event. All
figures are of one run; the ratio to the raw loop is what compares between machines.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import asyncio
import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
import redis
from aiokafka import AIOKafkaConsumer
from kafka import KafkaProducer
from prometheus_client import Counter

from deploy.stack.topics import TopicLayout, create_topics
from featurestore.codec import encode_state
from featurestore.columns import ActionColumns
from featurestore.events import Action, ItemId, UserId, encode_event
from featurestore.keys import checkpoint_key, item_key, state_key
from featurestore.partition import partition_of
from featurestore.state import Session, UserState
from featurestore.store import Checkpoint
from streams.config import Config, config_of
from streams.engine import run_app
from streams.metrics import WorkerMetrics
from streams.topic_identity import identify_topic
from streams.worker import build_worker

NUM_PARTITIONS = 8
NUM_ACTIONS = 200
NUM_ITEMS = 5_000
NOW_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and how much."""

    kafka: str
    redis_url: str
    num_users: int
    num_events: int
    prefix: str

    @property
    def topic(self) -> str:
        """The topic of events."""
        return f"{self.prefix}events"

    def config(self, group: str, overrides: Sequence[str] = ()) -> Config:
        """The configuration of a worker with its own group."""
        topics = ("events", "items", "examples", "models")
        return config_of(
            {
                "kafka": {
                    "brokers": self.kafka.split(","),
                    "topics": {
                        **{name: f"{self.prefix}{name}" for name in topics},
                        "dead_letters": f"{self.prefix}events.dead-letters",
                    },
                },
                "redis": {"url": self.redis_url},
                "worker": {"group": f"{self.prefix}{group}", "stall_timeout_s": 600.0},
            },
            {},
            overrides,
        )


def main() -> None:
    """Prepare topic and users, run everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--redis", required=True, help="a database that may be emptied")
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    bench = Bench(
        kafka=arguments.kafka,
        redis_url=arguments.redis,
        num_users=arguments.users,
        num_events=arguments.events,
        prefix=f"bench{secrets.token_hex(3)}.",
    )
    create_topics(bench.kafka, TopicLayout(num_partitions=NUM_PARTITIONS, prefix=bench.prefix))
    users = [f"user-{number:011d}" for number in range(bench.num_users)]
    num_bytes = fill_topic(bench, users)
    print(f"{bench.num_events} events of {num_bytes / bench.num_events:.0f} bytes")
    raw = asyncio.run(raw_loop(bench))
    print(f"raw getmany + orjson      {raw:10,.0f} events/s")
    fill_store(bench, users)
    print(f"{bench.num_users} users with {NUM_ACTIONS} actions each", flush=True)
    folded = run_worker(
        bench, "states", ["worker.catch_up_events=0", "ranking.slate_sample_rate=0"]
    )
    print(
        f"worker, states only       {folded.rate:10,.0f} events/s   ratio {folded.rate / raw:.3f}"
    )
    folded.print_stages()


def fill_topic(bench: Bench, users: Sequence[str]) -> int:
    """Append the events; return their size in bytes."""
    producer = KafkaProducer(bootstrap_servers=bench.kafka, linger_ms=20, batch_size=256 * 1024)
    num_bytes = 0
    for event in itertools.islice(actions(users), bench.num_events):
        value = encode_event(event)
        num_bytes += len(value)
        producer.send(bench.topic, key=event.user_id.encode(), value=value)
    producer.flush()
    producer.close()
    return num_bytes


def actions(users: Sequence[str]) -> Iterator[Action]:
    """One action of each user in random order, again and again."""
    generator = np.random.default_rng(7)
    for number, user in enumerate(
        user for _ in itertools.count() for user in generator.permutation(len(users))
    ):
        yield Action(
            event_id=f"event-{number:010d}",
            user_id=UserId(users[user]),
            ts_ms=NOW_MS + number,
            session_id=f"session-{user}",
            action="click",
            item_id=ItemId(f"item-{popular(generator):08d}"),
            context={"device": "mobile"},
        )


def popular(generator: np.random.Generator) -> int:
    """An item's number, the small ones more often."""
    return int(NUM_ITEMS * generator.random() ** 3)


async def raw_loop(bench: Bench) -> float:
    """Events a second of nothing but reading and parsing."""
    consumer = AIOKafkaConsumer(
        bench.topic,
        bootstrap_servers=bench.kafka,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
    )
    await consumer.start()
    num_read, started_s = 0, 0.0
    while num_read < bench.num_events:
        batches = await consumer.getmany(timeout_ms=1000)
        started_s = started_s or time.perf_counter()
        for records in batches.values():
            for record in records:
                orjson.loads(record.value)
            num_read += len(records)
    elapsed_s = time.perf_counter() - started_s
    await consumer.stop()
    return num_read / elapsed_s


def fill_store(bench: Bench, users: Sequence[str]) -> None:
    """Give every user 200 actions, and every partition a checkpoint at 0."""
    config = bench.config("fill")
    topic = identify_topic([bench.kafka], bench.topic)
    checkpoint = Checkpoint(
        topic_id=topic.topic_id, next_offset=0, fold_version=config.fold_rules().version
    )
    generator = np.random.default_rng(11)
    keys = np.array([item_key(f"item-{number:08d}") for number in range(NUM_ITEMS)], "<u4")
    with redis.Redis.from_url(bench.redis_url) as client:
        client.flushdb()
        for start in range(0, len(users), 1000):
            client.mset(
                {
                    state_key(bench.topic, partition_of(user, NUM_PARTITIONS), user): encode_state(
                        old_state(generator, keys)
                    )
                    for user in users[start : start + 1000]
                }
            )
        for partition in range(NUM_PARTITIONS):
            client.set(checkpoint_key(bench.topic, partition), msgspec.json.encode(checkpoint))


def old_state(generator: np.random.Generator, keys: npt.NDArray[np.uint32]) -> UserState:
    """A user's state after 200 clicks over some days."""
    gaps = generator.integers(5, 2000, NUM_ACTIONS - 1).astype("<u2")
    items = (NUM_ITEMS * generator.random(NUM_ACTIONS) ** 3).astype(int)
    last_s = NOW_MS // 1000 - int(generator.integers(10, 80_000))
    return UserState(
        clock_ms=last_s * 1000,
        session=Session(start_s=last_s - 100, mark=1, num_actions=3),
        actions=ActionColumns(
            keys=keys[items].tobytes(),
            gaps=gaps.tobytes(),
            codes=bytes([1]) * NUM_ACTIONS,
            last_s=last_s,
            span_s=int(gaps.sum()),
        ),
        event_marks=generator.bytes(64 * 4),
        shown=generator.bytes(20 * 4),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One worker's run over the whole topic."""

    num_events: int
    wall_s: float
    cpu_s: float
    metrics: WorkerMetrics

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.num_events / self.wall_s

    def print_stages(self) -> None:
        """Where the time went, by stage, per event."""
        print(f"  {self.wall_s:.1f} s wall, {self.cpu_s:.1f} s CPU; µs per event by stage:")
        for family in self.metrics.registry.collect():
            if family.name != "recsys_stage_duration_seconds":
                continue
            for sample in family.samples:
                if sample.name.endswith("_sum"):
                    stage, used_s = sample.labels["stage"], sample.value
                    print(f"    {stage:8s} {used_s / self.num_events * 1e6:8.1f}")


def run_worker(bench: Bench, group: str, overrides: Sequence[str]) -> Run:
    """Run a worker in this process until it has taken all events."""
    metrics = WorkerMetrics()
    app = build_worker(bench.config(group, overrides), metrics)
    marks: list[tuple[float, float, int]] = []

    done = metrics.ingest.events.of("events", "action", "ok")

    async def watch() -> None:
        while (num_done := _value_of(done)) < bench.num_events:
            if num_done:
                marks.append((time.perf_counter(), time.process_time(), num_done))
            await asyncio.sleep(0.05)
        marks.append((time.perf_counter(), time.process_time(), num_done))
        app.control.stop()

    app.task(watch)
    code = run_app(app)
    if code:
        raise SystemExit(f"the worker ended with exit code {code}")
    (first_s, first_cpu_s, first), (last_s, last_cpu_s, last) = marks[0], marks[-1]
    return Run(
        num_events=last - first,
        wall_s=last_s - first_s,
        cpu_s=last_cpu_s - first_cpu_s,
        metrics=metrics,
    )


def _value_of(counter: Counter) -> int:
    """A counter's value, without the cost of collecting a registry twenty times a second."""
    return int(next(iter(counter.collect())).samples[0].value)


if __name__ == "__main__":
    main()
