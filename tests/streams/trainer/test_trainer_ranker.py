"""The trainer reads the slates of its whole log, and refreshes the ranker in use from them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from kafka import TopicPartition

from models.bundle import WEIGHTS
from streams.announcements import Announcement, Decision, Role, key_of
from streams.config import Config
from streams.examples import encode_record
from streams.metrics import TrainerMetrics
from streams.model_registry import ModelRegistry
from streams.one_process import OneProcess
from streams.topic_identity import TopicIdentity
from streams.trainer import trainer as module
from streams.trainer.trainer import Trainer
from tests.streams.priced_slates import answered_events
from tests.streams.taught import config

KIND = "ranker-pairwise"


class _Kept(NamedTuple):
    offset: int
    value: bytes


@dataclass
class _Log:
    """The topic `examples` in this process; each poll takes a second of the clock.

    It stops whoever reads it at poll `num_polls`.
    """

    values: list[bytes] = field(default_factory=list)
    begun_at: int = -1
    now_s: float = 1_000.0
    num_polls: int = 3
    stop: threading.Event = field(default_factory=threading.Event)
    _read: int = 0

    def opened(self, num_polls: int) -> None:
        self.begun_at, self.num_polls, self.stop = -1, num_polls, threading.Event()

    def assign(self, _partitions: list[TopicPartition]) -> None: ...

    def close(self) -> None: ...

    def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, len(self.values))

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.begun_at = self._read = offset

    def position(self, _partition: TopicPartition) -> int:
        return self._read

    def poll(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[_Kept]]:
        self.now_s += timeout_ms / 1000
        self.num_polls -= 1
        if self.num_polls == 0:
            self.stop.set()
        begun, self._read = self._read, min(len(self.values), self._read + max_records)
        records = [_Kept(place, self.values[place]) for place in range(begun, self._read)]
        return {TopicPartition("examples", 0): records}


class _Registry(ModelRegistry):
    """With a topic in this process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ["nowhere:1"], "models")
        self.topic: list[tuple[bytes, Announcement]] = []

    def _said(self) -> list[tuple[bytes, Announcement]]:
        return self.topic

    def _send(self, announcement: Announcement, role: Role) -> None:
        self.topic.append((key_of(announcement.kind, role), announcement))


@dataclass
class _Place:
    """A log and a registry that trainers come and go at."""

    settings: Config
    log: _Log
    registry: _Registry
    system: OneProcess

    def take(self, num_slates: int, first: int) -> None:
        """Log slates of which few are clicked: too few actions for a transformer."""
        for event in answered_events(
            num_slates, wants_cheap=True, first=first, seed=first, unclicked_share=0.7
        ):
            place = len(self.log.values)
            effects = self.system.process(place, event, wants_lists=False)
            self.system.learn(place, effects)
            self.log.values.append(encode_record(effects.record))

    def run(self, num_polls: int = 3) -> TrainerMetrics:
        """Run a new trainer for so many polls; return what it measured."""
        self.log.opened(num_polls)
        metrics = TrainerMetrics()
        Trainer(self.settings, metrics).run(self.log.stop)
        return metrics


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Place:
    settings = config(
        attribution__window_ms=60_000,
        ranking__head="pairwise",
        contribution__max_actions=1000,
        trainer__min_actions=180,
        trainer__folder=tmp_path,
    )
    log, registry = _Log(), _Registry(tmp_path)

    def identified(_brokers: Sequence[str], name: str) -> TopicIdentity:
        return TopicIdentity(name=name, topic_id="id", num_partitions=1)

    monkeypatch.setattr(module, "identify_topic", identified)
    monkeypatch.setattr(module, "KafkaConsumer", lambda **_: log)
    monkeypatch.setattr(module, "ModelRegistry", lambda *_: registry)
    clock = SimpleNamespace(monotonic=lambda: log.now_s, time=lambda: log.now_s)
    monkeypatch.setattr(module, "time", clock)
    return _Place(settings, log, registry, OneProcess(settings))


def runs(metrics: TrainerMetrics) -> dict[str, float]:
    """How often each outcome came, as far as any did."""
    found = {
        outcome: metrics.registry.get_sample_value(
            "recsys_trainer_runs_total", {"outcome": outcome}
        )
        for outcome in ("promoted", "rejected", "skipped")
    }
    return {outcome: count for outcome, count in found.items() if count}


def test_the_ranker_is_refreshed_from_the_logs_start_against_the_bundle_in_force(
    place: _Place,
) -> None:
    place.take(200, first=0)
    last_success = "recsys_trainer_last_success_timestamp_seconds"

    # Told to stop while the first records come: what has begun is given up.
    stopped = place.run(num_polls=1)
    assert runs(stopped) == {"skipped": 1}
    assert not place.registry.topic
    assert not stopped.registry.get_sample_value(last_success)

    first = place.run()
    assert place.log.begun_at == 0
    assert runs(first) == {"promoted": 1}
    assert first.registry.get_sample_value(last_success)
    ((_, announced),) = place.registry.topic
    assert (announced.kind, announced.decision) == (KIND, Decision.GATE)
    assert announced.cutoff_offset == len(place.log.values)

    # All that is there is learned.
    assert runs(place.run(num_polls=20)) == {}

    # What is new is compared with the bundle in force: as yet too few clicks, so nothing is trained
    # at the first chance, nor again within `interval_s`.
    place.take(200, first=200)
    assert runs(place.run(num_polls=500)) == {"skipped": 1}
    assert place.log.begun_at == 0
    assert len(place.registry.topic) == 1

    # One that no worker could use is no measure.
    weights = Path(announced.uri) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    last = place.run()
    assert last.registry.get_sample_value("recsys_model_refusals_total", {"kind": KIND}) == 1
    assert runs(last) == {"promoted": 1}
    assert len(place.registry.topic) == 2
