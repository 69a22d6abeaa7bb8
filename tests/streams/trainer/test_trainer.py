"""The trainer keeps up with a log that never rests, and yields to every other process."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from kafka import KafkaConsumer, TopicPartition

from models.history import History, HistoryEvent
from models.online.online_models import OnlineConfig
from models.side_features import NO_SIDE
from streams.config import Config
from streams.engine import KafkaError, UnreadableTopicError
from streams.examples import encode_record
from streams.item_log import ItemLog
from streams.trainer import trainer
from streams.trainer.trainer import read_on
from streams.trainer.training_data import TrainingData
from tests.streams.example_logs import START_MS, record_of, visit

_SHOW = """
import os
from pathlib import Path
from streams.trainer.trainer import take_what_is_left
take_what_is_left()
print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE)
print(Path("/proc/self/autogroup").read_text() if Path("/proc/self/autogroup").exists() else "")
"""


def test_a_trainer_that_leads_a_session_takes_what_is_left_of_the_machine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SHOW], start_new_session=True, capture_output=True, check=True
    )

    niceness, _, autogroup = done.stdout.decode().strip().partition("\n")
    assert niceness == "19 True"
    if Path("/proc/self/autogroup").exists():
        assert autogroup.strip().endswith("nice 19")


class _Kept(NamedTuple):
    offset: int
    value: bytes


class _Unresting:
    """A log that has one record more after every question: no broker can be made to have it."""

    def __init__(self) -> None:
        self._num_records = 1
        self._read = 0

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        end = self._num_records
        self._num_records += 1
        return dict.fromkeys(partitions, end)

    def poll(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[_Kept]]:
        end = min(self._num_records, self._read + max_records)
        records = [
            _Kept(offset, encode_record(record_of([visit("u", START_MS + offset)], offset)))
            for offset in range(self._read, end)
        ]
        self._read = end
        self._num_records += timeout_ms > 0
        return {_PARTITION: records}

    def position(self, partition: TopicPartition) -> int:
        assert partition == _PARTITION
        return self._read


_PARTITION = TopicPartition("examples", 0)


def test_a_log_that_never_rests_is_caught_up_with() -> None:
    data = TrainingData(OnlineConfig(), topic_id="id", side=NO_SIDE, capacity=100, counter_rows=10)
    log = cast("KafkaConsumer", _Unresting())
    assert [read_on(log, _PARTITION, data) for _ in range(3)] == [True] * 3
    assert data.history.offset == 6


def _reading(found: ItemLog | type[Exception]) -> Callable[..., ItemLog]:
    def read(_: Config, *, timeout_s: float) -> ItemLog:
        assert timeout_s > 0
        if isinstance(found, type):
            raise found
        return found

    return read


def test_a_trainer_knows_what_the_topic_of_items_tells_of_its_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [HistoryEvent(user_id="u", time_s=n, action=1, item_id=f"i{n}") for n in range(3)]
    history = History()
    history.append(events, from_offset=0, to_offset=1)
    told = ItemLog({"i1": (4, 7), "unmet": (5,)}, frozenset(["i1", "unmet"]), "digest")
    monkeypatch.setattr(trainer, "read_item_topic", _reading(told))
    assert trainer.is_described(history, Config())
    assert history.attribute_matrix().tolist() == [[0, 0], [4, 7], [0, 0]]

    for error in (KafkaError, TimeoutError, UnreadableTopicError):
        monkeypatch.setattr(trainer, "read_item_topic", _reading(error))
        assert not trainer.is_described(history, Config())
        assert history.attribute_matrix().any()
