"""What becomes of events when a worker process fails, stalls, stops or is killed?"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from aiokafka.structs import TopicPartition
from kafka import KafkaAdminClient

from deploy.stack.broker import KafkaBroker
from streams.engine.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_STALLED,
    EXIT_START_POSITION,
)
from tests.streams.engine.counting_worker import WorkerSpec
from tests.streams.engine.log import append_now, new_topic, numbered
from tests.streams.engine.processes import WorkerProcess, until

pytestmark = pytest.mark.integration


class Counts:
    """What the workers have written to Redis about one topic."""

    def __init__(self, url: str, topic: str) -> None:
        self._client = redis.Redis.from_url(url, decode_responses=True)
        self._topic = topic

    def by_value(self) -> dict[str, str]:
        return cast("dict[str, str]", self._client.hgetall(f"{self._topic}:counts"))

    def num_events(self) -> int:
        return int(cast("Any", self._client.hlen(f"{self._topic}:counts")))

    def seen(self, partition: int) -> list[int]:
        texts = cast("Any", self._client.lrange(f"{self._topic}:seen:{partition}", 0, -1))
        return [int(text) for text in texts]

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    return new_topic(kafka.bootstrap, num_partitions=8)


@pytest.fixture
def counts(redis_url: str, topic: str) -> Iterator[Counts]:
    counts = Counts(redis_url, topic)
    yield counts
    counts.close()


@pytest.fixture
def start(
    kafka: KafkaBroker, redis_url: str, topic: str, tmp_path: Path
) -> Callable[..., WorkerProcess]:
    num_started = 0

    def start_worker(**what: Any) -> WorkerProcess:  # noqa: ANN401 - fields of WorkerSpec
        nonlocal num_started
        num_started += 1
        spec = WorkerSpec(bootstrap=kafka.bootstrap, redis_url=redis_url, topic=topic, **what)
        return WorkerProcess(spec, tmp_path / f"worker-{num_started}.log")

    return start_worker


def committed_offsets(kafka: KafkaBroker, topic: str) -> dict[int, int]:
    """The group's offsets by partition."""
    group = f"group-of-{topic}"
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        offsets = admin.list_group_offsets({group: None})[group]
    finally:
        admin.close()
    return {tp.partition: offset.offset for tp, offset in offsets.items()}


@pytest.mark.chaos
def test_killed_workers_lose_and_double_nothing(
    kafka: KafkaBroker, topic: str, counts: Counts, start: Callable[..., WorkerProcess]
) -> None:
    append_now(kafka.bootstrap, topic, numbered(20_000), partition=None)
    settings = {"max_slice_records": 100}
    # Slow enough that the third has joined before the first is through, on a busy machine too.
    slow = {"pause_s": 0.08, "settings": settings}
    with start(**slow) as first, start(**slow) as second:
        until(lambda: counts.num_events() > 3_000, what="3,000 events counted by two")
        second.kill()
        until(lambda: counts.num_events() > 6_000, what="6,000 events counted")
        with start(**slow) as third:
            third.until_output("counted")
            first.kill()
            until(lambda: counts.num_events() > 12_000, what="12,000 events counted")
            with start(settings=settings):
                until(lambda: counts.num_events() == 20_000, what="20,000 events counted")
    assert set(counts.by_value().values()) == {"1"}
    for partition in range(8):
        assert counts.seen(partition) == list(range(partition, 20_000, 8))


def test_exception_ends_the_process_and_the_event_is_delivered_again(
    kafka: KafkaBroker, topic: str, counts: Counts, start: Callable[..., WorkerProcess]
) -> None:
    append_now(kafka.bootstrap, topic, numbered(500), partition=0)
    settings = {"max_slice_records": 50, "commit_interval_s": 0.1}
    with start(pause_s=0.05, fail_at="220", settings=settings) as failing:
        assert failing.wait() == EXIT_FAILED
        assert "ZeroDivisionError escaped a slice handler: told to fail at 220" in failing.output
    assert counts.seen(0) == list(range(200))
    assert committed_offsets(kafka, topic).get(0, 0) <= 200
    with start(settings=settings):
        until(lambda: counts.num_events() == 500, what="all events counted")
    assert counts.seen(0) == list(range(500))


def test_sigterm_finishes_the_slice_in_progress_and_commits(
    kafka: KafkaBroker, topic: str, counts: Counts, start: Callable[..., WorkerProcess]
) -> None:
    append_now(kafka.bootstrap, topic, numbered(500), partition=0)
    with start(pause_s=0.5, settings={"max_slice_records": 50}) as worker:
        until(lambda: counts.num_events() >= 50, what="the first slice counted")
        worker.signal(signal.SIGTERM)
        assert worker.wait(deadline_s=15) == EXIT_OK
    num_events = counts.num_events()
    assert num_events % 50 == 0
    assert num_events < 500
    assert committed_offsets(kafka, topic)[0] == num_events


def test_sigint_before_the_first_assignment_ends_the_process(
    start: Callable[..., WorkerProcess],
) -> None:
    with start() as worker:
        worker.until_output("Starting...")
        worker.signal(signal.SIGINT)
        assert worker.wait(deadline_s=15) == EXIT_OK


def test_handler_that_waits_for_ever_is_a_stall(
    kafka: KafkaBroker, topic: str, counts: Counts, start: Callable[..., WorkerProcess]
) -> None:
    append_now(kafka.bootstrap, topic, numbered(300), partition=0)
    settings = {"max_slice_records": 50, "stall_timeout_s": 2.0}
    with start(hang_at="120", settings=settings) as worker:
        assert worker.wait() == EXIT_STALLED
        assert "No slice finished for 2 s" in worker.output
        assert "at 100 of 300" in worker.output
    assert counts.num_events() == 100


def test_handler_that_blocks_the_event_loop_is_a_stall(
    kafka: KafkaBroker, topic: str, start: Callable[..., WorkerProcess]
) -> None:
    append_now(kafka.bootstrap, topic, numbered(300), partition=0)
    settings = {"max_slice_records": 50, "stall_timeout_s": 2.0, "stop_grace_s": 2.0}
    with start(block_at="120", settings=settings) as worker:
        assert worker.wait() == EXIT_STALLED
        assert "Not stopped within 2 s" in worker.output


def test_group_that_the_broker_refuses_for_ever_is_a_stall(
    start: Callable[..., WorkerProcess],
) -> None:
    # Above the broker's group.max.session.timeout.ms: each attempt to join is refused.
    refused = {"session_timeout_s": 2_000.0, "request_timeout_s": 2_000.0}
    short = {"rebalance_timeout_s": 1.0, "revoke_grace_s": 0.5, "start_timeout_s": 1.0}
    with start(settings={**refused, **short, "stall_timeout_s": 1.0}) as worker:
        assert worker.wait() == EXIT_STALLED
        assert "No share of the partitions for 3 s" in worker.output


def test_handler_that_exits_ends_the_process(
    kafka: KafkaBroker, topic: str, counts: Counts, start: Callable[..., WorkerProcess]
) -> None:
    append_now(kafka.bootstrap, topic, numbered(300), partition=0)
    with start(exit_at="120", settings={"max_slice_records": 50}) as worker:
        assert worker.wait(deadline_s=30) == EXIT_FAILED
        assert "A handler raised SystemExit" in worker.output
    assert counts.num_events() == 100


@pytest.mark.chaos
def test_paused_worker_that_wakes_up_changes_nothing(
    kafka: KafkaBroker, topic: str, counts: Counts, start: Callable[..., WorkerProcess]
) -> None:
    append_now(kafka.bootstrap, topic, numbered(4_000), partition=None)
    slow = {"pause_s": 0.1, "settings": {"max_slice_records": 50}}
    with start(**slow) as sleeper, start(**slow) as other:
        sleeper.until_output("counted")
        other.until_output("counted")
        sleeper.signal(signal.SIGSTOP)
        until(lambda: other.output.count("assigned 8") > 0, what="all partitions moved")
        until(lambda: counts.num_events() == 4_000, what="all events counted")
        sleeper.signal(signal.SIGCONT)
        # Its slice in progress is refused; what else it fetched then must not be tried.
        sleeper.until_output("fenced")
        append_now(kafka.bootstrap, topic, numbered(1_000, first=4_000), partition=None)
        until(lambda: counts.num_events() == 5_000, what="the later events counted")
    assert set(counts.by_value().values()) == {"1"}
    for partition in range(8):
        assert counts.seen(partition) == list(range(partition, 5_000, 8))


def test_store_that_is_away_at_the_start_ends_the_process(
    kafka: KafkaBroker, topic: str, tmp_path: Path
) -> None:
    spec = WorkerSpec(bootstrap=kafka.bootstrap, redis_url="redis://127.0.0.1:1/0", topic=topic)
    with WorkerProcess(spec, tmp_path / "worker.log") as worker:
        assert worker.wait() == EXIT_START_POSITION
        assert "Start offsets were not established: ConnectionError" in worker.output


def test_broker_that_is_away_at_the_start_ends_the_process(topic: str, tmp_path: Path) -> None:
    spec = WorkerSpec(bootstrap="127.0.0.1:1", redis_url="redis://127.0.0.1:1/0", topic=topic)
    with WorkerProcess(spec, tmp_path / "worker.log") as worker:
        assert worker.wait() == EXIT_FAILED
        assert "KafkaConnectionError" in worker.output


@pytest.mark.chaos
def test_broker_that_restarts_in_mid_stream_loses_and_doubles_nothing(
    kafka: KafkaBroker, topic: str, counts: Counts, start: Callable[..., WorkerProcess]
) -> None:
    echo_topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(5_000), partition=None)
    with start(pause_s=0.01, echo_topic=echo_topic, settings={"max_slice_records": 50}) as worker:
        until(lambda: counts.num_events() > 1_000, what="1,000 events counted")
        kafka.kill()
        kafka.start()
        until(lambda: counts.num_events() == 5_000, what="all events counted")
        worker.signal(signal.SIGTERM)
        assert worker.wait(deadline_s=25) == EXIT_OK
    assert set(counts.by_value().values()) == {"1"}
    for partition in range(8):
        assert counts.seen(partition) == list(range(partition, 5_000, 8))
    assert log_end(kafka, echo_topic) == 5_000


def log_end(kafka: KafkaBroker, topic: str) -> int:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        tp = TopicPartition(topic, 0)
        return int(admin.list_partition_offsets({tp: -1})[tp].offset)
    finally:
        admin.close()
