"""A stack in the background: up, status and down from separate processes, with nothing left."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.stack.broker import KafkaBroker, broker_answers
from deploy.stack.errors import StartFailed
from deploy.stack.lifecycle import down, status, up
from deploy.stack.redis_server import redis_answers
from deploy.stack.stack import StackConfig
from deploy.stack.state import read_state
from deploy.stack.supervisor import Request, supervise
from deploy.stack.topics import TopicLayout, num_partitions
from tests.deploy.stack.test_stack import ROLE, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackConfig]:
    monkeypatch.delenv("HEADRACE_KAFKA", raising=False)
    monkeypatch.delenv("HEADRACE_REDIS", raising=False)
    topics = TopicLayout(num_partitions=2, prefix="lifecycle.")
    config = StackConfig(directory=tmp_path / "home", topics=topics)
    yield config
    down(config.directory)


def pids_of(directory: Path) -> list[int]:
    state = read_state(directory)
    assert state is not None
    return [
        state.supervisor.pid,
        *(server.process.pid for server in state.servers if server.process is not None),
    ]


def all_gone(pids: list[int]) -> bool:
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )


@pytest.mark.slow
def test_up_status_and_down(config: StackConfig) -> None:
    told: list[str] = []
    addresses = up(config, roles=[ROLE], report=told.append)
    assert broker_answers(addresses.kafka)
    assert redis_answers(addresses.redis_url)
    assert num_partitions(addresses.kafka, "lifecycle.events") == 2
    assert told[0].startswith("starting Apache Kafka")

    now = status(config.directory)
    assert now is not None
    assert now.addresses == addresses
    names = [server.state.name for server in now.servers]
    assert names[:3] == ["kafka", "redis", "worker-1"]
    assert all(server.alive for server in now.servers)

    # A second time: what runs stays as it is.
    pids = pids_of(config.directory)
    assert up(config, roles=[ROLE]) == addresses
    assert pids_of(config.directory) == pids

    assert down(config.directory, wipe=True, report=told.append)
    assert all_gone(pids)
    assert status(config.directory) is None
    assert not config.directory.exists()
    assert not down(config.directory)


@pytest.mark.chaos
def test_killed_supervisor_leaves_nothing_running(
    config: StackConfig, kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", kafka.bootstrap)
    up(config, roles=[ROLE])
    supervisor, *others = pids_of(config.directory)
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: all_gone([supervisor, *others]))
    assert status(config.directory) is None


def test_interrupt_stops_everything(
    config: StackConfig, kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", kafka.bootstrap)
    up(config, roles=[ROLE])
    pids = pids_of(config.directory)
    os.kill(pids[0], signal.SIGINT)
    wait_until(lambda: all_gone(pids))
    assert read_state(config.directory) is None
    log = (config.directory / "supervisor.log").read_text().splitlines()
    assert log[-2:] == ["stopping worker-1", "stopping redis"]


def test_second_supervisor_in_a_folder_is_refused(
    config: StackConfig, kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", kafka.bootstrap)
    up(config)
    with pytest.raises(StartFailed, match="found a stack running"):
        supervise(Request(config=config, roles=()))


def test_failed_start_tells_why_and_leaves_nothing(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", "127.0.0.1:1")
    with pytest.raises(StartFailed, match=r"HEADRACE_KAFKA: found no broker at 127\.0\.0\.1:1"):
        up(config)
    assert status(config.directory) is None
