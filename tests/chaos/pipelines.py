"""A pipeline as `headrace up` runs it: roles that are killed or end by themselves start again."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import redis
from kafka import KafkaConsumer, TopicPartition

from deploy.stack.prometheus_server import http_answers
from deploy.stack.role import Role
from deploy.stack.role_set import RoleSet
from featurestore.keys import LEARNER_BASE, LEARNER_DELTAS
from tests.integration.learners import EXTRA_SOURCES
from tests.integration.roles import until

_ANSWER_S: Final = 5.0
_TOPICS: Final = ("events", "items", "examples", "models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Workers and a learner that run, and how far they have come."""

    roles: RoleSet
    kafka: str
    redis_url: str
    prefix: str

    @property
    def events(self) -> str:
        """The topic that they read."""
        return f"{self.prefix}events"

    @property
    def examples(self) -> str:
        """The topic between them."""
        return f"{self.prefix}examples"

    def until_answering(self, names: Iterable[str]) -> None:
        """Return once these roles run, as they do again some time after their end."""
        for name in names:
            until(
                partial(self.answers, name),
                what=f"{name} running\n{self.log(name)}",
                deadline_s=120,
            )

    def answers(self, name: str) -> bool:
        """Whether a role runs and serves its metrics."""
        process = self.roles.processes[name]
        return process.alive and http_answers(process.metrics_url)

    def metric(self, name: str, sample: str) -> float:
        """A sample of a role's metrics; 0 while it has none, or does not answer."""
        try:
            with urllib.request.urlopen(
                self.roles.processes[name].metrics_url, timeout=_ANSWER_S
            ) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0.0
        return next((float(line.split()[-1]) for line in lines if line.startswith(sample)), 0.0)

    def log(self, name: str) -> str:
        """The end of what a role printed."""
        path = self.roles.processes[name].log_path
        return path.read_text(errors="replace")[-6000:] if path.exists() else ""

    def logs(self) -> str:
        """The ends of what all roles printed."""
        return "\n".join(f"--- {name}\n{self.log(name)}" for name in self.roles.processes)

    def num_checkpointed(self) -> int:
        """How many records of `events` are in the store; -1 while it does not answer."""
        try:
            with redis.Redis.from_url(self.redis_url, socket_timeout=_ANSWER_S) as client:
                keys = client.keys(b"ck:{%b-*" % self.events.encode())
                values = client.mget(keys) if keys else []
        except redis.RedisError:
            return -1
        return sum(msgspec.json.decode(value)["next_offset"] for value in values if value)

    def learned_offset(self) -> int:
        """How far the learner has published; -1 while the store does not answer."""
        try:
            with redis.Redis.from_url(self.redis_url, socket_timeout=_ANSWER_S) as client:
                base = client.hget(LEARNER_BASE, "offset")
                last = client.xrevrange(LEARNER_DELTAS, count=1)
        except redis.RedisError:
            return -1
        deltas = [int(fields[b"to"]) for _, fields in last]
        return max([int(base or 0), *deltas])

    def until_done(self, *, deadline_s: float = 180.0) -> None:
        """Return once every event is in the store and every example is learned and published."""
        num_events = num_records(self.kafka, self.events)
        until(
            lambda: self.num_checkpointed() == num_events,
            what=f"{num_events} events in the store, {self.num_checkpointed()}\n{self.logs()}",
            deadline_s=deadline_s,
        )
        num_examples = num_records(self.kafka, self.examples)
        until(
            lambda: self.learned_offset() >= num_examples,
            what=f"{num_examples} examples learned, {self.learned_offset()}\n{self.logs()}",
            deadline_s=deadline_s,
        )


@contextmanager
def running_pipeline(
    tmp_path: Path,
    *,
    kafka: str,
    redis_url: str,
    prefix: str,
    num_workers: int = 2,
    **settings: object,
) -> Iterator[Pipeline]:
    """Run `worker-1`, `worker-2`, … and `learner`; `a__b=value` is the setting `a.b`.

    Chunks are small, so that there are many moments to be interrupted at.
    """
    values: dict[str, object] = {
        "worker__group": f"{prefix}worker",
        "learner__group": f"{prefix}learner",
        "learner__delta_interval_s": 0.2,
        "learner__base_interval_s": 2.0,
        "worker__chunk_events": 32,
        "redis__timeout_s": 1.0,
        "online__extra_sources": EXTRA_SOURCES,
        "retrieval__limits__factors": 20,
        **settings,
    }
    overrides = [f"kafka.topics.{topic}={prefix}{topic}" for topic in _TOPICS]
    overrides += [f"kafka.topics.dead_letters={prefix}events.dead-letters"]
    overrides += [f"{key.replace('__', '.')}={value}" for key, value in values.items()]
    arguments = tuple(part for override in overrides for part in ("--set", override))
    roles = RoleSet(
        tmp_path,
        {"HEADRACE_KAFKA": kafka, "HEADRACE_REDIS": redis_url},
        announce=lambda _: None,
        changed=lambda: None,
    )
    try:
        for name in [f"worker-{number + 1}" for number in range(num_workers)] + ["learner"]:
            kind = name.partition("-")[0]
            roles.start(
                Role(
                    name=name,
                    argv=(sys.executable, "-m", "streams", kind, *arguments),
                    metrics_port_variable=f"HEADRACE_{kind.upper()}_METRICS_PORT",
                    ready_s=120.0,
                )
            )
        yield Pipeline(roles=roles, kafka=kafka, redis_url=redis_url, prefix=prefix)
    finally:
        roles.stop_all()


def num_records(bootstrap: str, topic: str) -> int:
    """How many records a topic holds from which nothing was removed."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        return sum(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()
