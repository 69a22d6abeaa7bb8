"""How many events a second does one worker take, and where does its time go?

    python -m benchmarks.pipeline --kafka localhost:9092 --redis redis://localhost:6379/0

Kafka and Redis are real. 50,000 users already have 200 actions each; the events are one click of
each user in random order, again and again, so that a user occurs at most once a slice. One process,
one thread of BLAS. First a raw loop reads the same topic with aiokafka's getmany and orjson, three
times, of which the median counts; then a worker folds it without lists (as it does while catching
up), then with a list of 300 ranked candidates for every event, transformer included: by the
re-ranker over all sources, by p(click) alone, and by the re-ranker with the choice head beside. All
figures are of one run; ratios compare between machines, events per CPU second between loads.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson
import redis
from aiokafka import AIOKafkaConsumer
from kafka import KafkaProducer
from prometheus_client import Counter

from benchmarks.population import NUM_ITEMS, actions, old_states, teach, user_names
from deploy.stack.topics import TopicLayout, create_topics
from featurestore.codec import encode_state
from featurestore.events import encode_event
from featurestore.keys import checkpoint_key, state_key
from featurestore.partition import partition_of
from featurestore.redis_store import RedisStore
from featurestore.store import Checkpoint
from models.bundle import load_bundle
from streams.announcements import (
    ANNOUNCEMENT_VERSION,
    Announcement,
    Decision,
    encode_announcement,
)
from streams.config import Config, config_of
from streams.engine import run_app
from streams.metrics import WorkerMetrics
from streams.topic_identity import identify_topic
from streams.worker.worker import build_worker, collect_rarely

NUM_PARTITIONS = 8
NUM_RAW_LOOPS = 3
"""One loop takes a second, and differs from the next by a tenth and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and how much."""

    kafka: str
    redis_url: str
    num_users: int
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
    """Prepare topic, users and models, run everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--redis", required=True, help="a database that may be emptied")
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=200_000, help="folded without lists")
    parser.add_argument("--lists", type=int, default=20_000, help="events that cause a list each")
    parser.add_argument("--only", choices=list(OVERRIDES))
    arguments = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: threads of BLAS fight for the one core")
    bench = Bench(
        kafka=arguments.kafka,
        redis_url=arguments.redis,
        num_users=arguments.users,
        prefix=f"bench{secrets.token_hex(3)}.",
    )
    create_topics(bench.kafka, TopicLayout(num_partitions=NUM_PARTITIONS, prefix=bench.prefix))
    # Longer than what is measured: a partition that has caught up would build lists beside.
    num_events = max(arguments.events + arguments.events // 2, arguments.lists)
    users = user_names(bench.num_users)
    num_bytes = fill_topic(bench, users, num_events)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"{num_events} events of {num_bytes / num_events:.0f} bytes")
    raw = median_of([asyncio.run(raw_loop(bench, num_events)) for _ in range(NUM_RAW_LOOPS)])
    print(f"{'raw getmany + orjson':24s}{raw.per_s:10,.0f} events/s", end="")
    print(f"{raw.per_cpu_s:14,.0f} events per CPU second", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        announce_bundle(bench, Path(folder) / "bundle")
        for name, overrides in OVERRIDES.items():
            if arguments.only in {None, name}:
                fill_store(bench, users)
                asyncio.run(save_models(bench, overrides))
                print(f"--- {name}", flush=True)
                num = arguments.events if name == "states" else arguments.lists
                report(name, run_worker(bench, name, num), raw)


def fill_topic(bench: Bench, users: Sequence[str], num_events: int) -> int:
    """Append the events; return their size in bytes."""
    producer = KafkaProducer(bootstrap_servers=bench.kafka, linger_ms=20, batch_size=256 * 1024)
    num_bytes = 0
    for event in itertools.islice(actions(users), num_events):
        value = encode_event(event)
        num_bytes += len(value)
        producer.send(bench.topic, key=event.user_id.encode(), value=value)
    producer.flush()
    producer.close()
    return num_bytes


async def raw_loop(bench: Bench, num_events: int) -> Rate:
    """Events a second of nothing but reading and parsing."""
    consumer = AIOKafkaConsumer(
        bench.topic,
        bootstrap_servers=bench.kafka,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
    )
    await consumer.start()
    num_read, started_s, started_cpu_s = 0, 0.0, 0.0
    while num_read < num_events:
        batches = await consumer.getmany(timeout_ms=1000)
        started_s = started_s or time.perf_counter()
        started_cpu_s = started_cpu_s or time.process_time()
        for records in batches.values():
            for record in records:
                orjson.loads(record.value)
            num_read += len(records)
    elapsed_s = time.perf_counter() - started_s
    cpu_s = time.process_time() - started_cpu_s
    await consumer.stop()
    return Rate(per_s=num_read / elapsed_s, per_cpu_s=num_read / cpu_s)


def fill_store(bench: Bench, users: Sequence[str]) -> None:
    """Give every user 200 actions, and every partition a checkpoint at 0."""
    checkpoint = Checkpoint(
        topic_id=identify_topic([bench.kafka], bench.topic).topic_id,
        next_offset=0,
        fold_version=bench.config("fill").fold_rules().version,
    )
    states = old_states(len(users))
    with redis.Redis.from_url(bench.redis_url) as client:
        client.flushdb()
        for batch in _batches(users):
            client.mset(
                {
                    state_key(bench.topic, partition_of(user, NUM_PARTITIONS), user): encode_state(
                        next(states)
                    )
                    for user in batch
                }
            )
        for partition in range(NUM_PARTITIONS):
            client.set(checkpoint_key(bench.topic, partition), msgspec.json.encode(checkpoint))


def _batches(users: Sequence[str]) -> list[Sequence[str]]:
    return [users[start : start + 1000] for start in range(0, len(users), 1000)]


async def save_models(bench: Bench, overrides: Sequence[str]) -> None:
    """Save counters that have seen an hour, as the learner of that configuration would."""
    online = bench.config("fill", overrides).online_models()
    teach(online)
    store = RedisStore.connect(bench.redis_url, topic=bench.topic)
    await store.save_base(
        expected_version=0, offset=online.offset, payload=online.snapshot(), meta=b""
    )
    await store.close()


def announce_bundle(bench: Bench, folder: Path) -> None:
    """Write a bundle of the default size, and make it the current one."""
    command = [sys.executable, "-m", "benchmarks.untrained_bundle", str(folder), str(NUM_ITEMS)]
    subprocess.run(command, check=True)  # noqa: S603  (the interpreter that runs this)
    announcement = Announcement(
        version=ANNOUNCEMENT_VERSION,
        kind="transformer",
        digest=load_bundle(folder).digest,
        uri=str(folder),
        cutoff_offset=0,
        cutoff_ms=0,
        trained_at_ms=1,
        decision=Decision.GATE,
        reason="benchmark",
    )
    producer = KafkaProducer(bootstrap_servers=bench.kafka, acks="all")
    producer.send(
        f"{bench.prefix}models", key=b"transformer", value=encode_announcement(announcement)
    )
    producer.flush()
    producer.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Events a second of the clock, and of the process's CPU time."""

    per_s: float
    per_cpu_s: float


def median_of(rates: Sequence[Rate]) -> Rate:
    """The median of each figure."""
    return Rate(
        per_s=statistics.median([rate.per_s for rate in rates]),
        per_cpu_s=statistics.median([rate.per_cpu_s for rate in rates]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One worker's run."""

    num_events: int
    rate: Rate
    metrics: WorkerMetrics


OVERRIDES = {
    "states": ["worker.catch_up_events=0", "ranking.slate_sample_rate=0"],
    "lists": ["worker.catch_up_events=100000000"],
    "click": ["worker.catch_up_events=100000000", "ranking.head=click"],
    "choice": ["worker.catch_up_events=100000000", 'online.heads=["choice"]'],
}


def run_worker(bench: Bench, name: str, num_events: int) -> Run:
    """Run a worker in this process until it has taken so many events."""
    metrics = WorkerMetrics()
    app = build_worker(bench.config(name, OVERRIDES[name]), metrics)
    collect_rarely()
    marks: list[tuple[float, float, int]] = []
    done = metrics.ingest.events.of("events", "action", "ok")

    async def watch() -> None:
        while (num_done := _value_of(done)) < num_events:
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
    num = last - first
    rate = Rate(per_s=num / (last_s - first_s), per_cpu_s=num / (last_cpu_s - first_cpu_s))
    return Run(num_events=num, rate=rate, metrics=metrics)


def report(name: str, run: Run, raw: Rate) -> None:
    """Print a run's rates, and its time by stage."""
    rate = run.rate
    print(f"{name:24s}{rate.per_s:10,.0f} events/s", end="")
    print(f"{rate.per_cpu_s:14,.0f} events per CPU second", end="")
    print(f"   ratios {rate.per_s / raw.per_s:.3f}, {rate.per_cpu_s / raw.per_cpu_s:.3f}")
    for family in run.metrics.registry.collect():
        if family.name == "recsys_stage_duration_seconds":
            used = {s.labels["stage"]: s.value for s in family.samples if s.name.endswith("_sum")}
            total_s = sum(used.values())
            for stage, used_s in sorted(used.items(), key=lambda one: -one[1]):
                share = used_s / total_s
                print(f"    {stage:10s}{used_s / run.num_events * 1e6:10.1f} us {share:6.1%}")


def _value_of(counter: Counter) -> int:
    """A counter's value, without the cost of collecting a registry twenty times a second."""
    return int(next(iter(counter.collect())).samples[0].value)


if __name__ == "__main__":
    main()
