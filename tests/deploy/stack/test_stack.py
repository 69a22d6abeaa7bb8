"""The stack starts what is missing, in order, and stops in reverse what it has started."""

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.stack.broker import KafkaBroker
from deploy.stack.environment import StackEnvironment
from deploy.stack.errors import StartFailed
from deploy.stack.prometheus_server import http_answers
from deploy.stack.redis_server import RedisServer
from deploy.stack.role import Role
from deploy.stack.stack import Stack, StackConfig
from deploy.stack.supervisor import Request, read_request, write_request
from deploy.stack.topics import TopicLayout, num_partitions

ROLE = Role(
    name="worker-1",
    argv=(sys.executable, "-m", "tests.deploy.stack.role_program"),
    metrics_port_variable="TEST_METRICS_PORT",
)
BROKEN = dataclasses.replace(ROLE, argv=(sys.executable, "-c", "raise SystemExit('no luck')"))


def wait_until(holds: Callable[[], bool], *, deadline_s: float = 30.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, "it never held"
        time.sleep(0.02)


@pytest.fixture
def external(
    stack_environment: StackEnvironment, kafka: KafkaBroker, redis_server: RedisServer
) -> StackEnvironment:
    """An environment that names servers that run already."""
    return dataclasses.replace(stack_environment, kafka=kafka.bootstrap, redis_url=redis_server.url)


@pytest.fixture
def config(tmp_path: Path, topic_prefix: str) -> StackConfig:
    return StackConfig(
        directory=tmp_path,
        topics=TopicLayout(num_partitions=2, prefix=topic_prefix),
        with_prometheus=False,
    )


@pytest.mark.slow
@pytest.mark.integration
def test_everything_starts_in_order_and_stops_in_reverse(
    stack_environment: StackEnvironment, tmp_path: Path
) -> None:
    told: list[str] = []
    config = StackConfig(directory=tmp_path, with_prometheus=False)
    with Stack(config, stack_environment, roles=[ROLE], announce=told.append) as stack:
        pids = [state.process.pid for state in stack.states() if state.process is not None]
        assert len(pids) == 3
        assert all(psutil.pid_exists(pid) for pid in pids)
        told.append("running")
    assert [" ".join(line.split()[:2]) for line in told] == [
        "starting Apache",
        "created topics:",
        "starting Redis",
        "starting worker-1",
        "running",
        "stopping worker-1",
        "stopping redis",
        "stopping kafka",
    ]
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_addresses_in_the_environment_win(
    config: StackConfig, external: StackEnvironment, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    with Stack(config, external) as stack:
        assert stack.addresses.kafka == kafka.bootstrap
        assert stack.addresses.redis_url == redis_server.url
        assert [state.process for state in stack.states()] == [None, None]
        assert num_partitions(kafka.bootstrap, f"{config.topics.prefix}events") == 2
    assert kafka.alive
    assert redis_server.alive


def test_role_finds_the_addresses_in_its_environment(
    config: StackConfig, external: StackEnvironment
) -> None:
    with Stack(config, external, roles=[ROLE]) as stack:
        assert http_answers(stack.roles.processes["worker-1"].metrics_url)
    log = (config.directory / "roles" / "worker-1.log").read_text()
    assert log == f"{external.kafka} {external.redis_url}\n"


@pytest.mark.chaos
def test_role_that_ends_is_started_again(config: StackConfig, external: StackEnvironment) -> None:
    with Stack(config, external, roles=[ROLE]) as stack:
        worker = stack.roles.processes["worker-1"]
        first = worker.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: worker.alive and worker.pid != first)
        wait_until(lambda: http_answers(worker.metrics_url))
        second = worker.pid
        assert stack.states()[-1].num_restarts == 1
    assert not psutil.pid_exists(second)


def test_stopped_role_stays_stopped(config: StackConfig, external: StackEnvironment) -> None:
    with Stack(config, external, roles=[ROLE]) as stack:
        worker = stack.roles.processes["worker-1"]
        stack.roles.stop("worker-1")
        assert not worker.alive
        assert stack.roles.processes == {}


def test_failed_role_stops_what_had_started(
    config: StackConfig, external: StackEnvironment
) -> None:
    good = dataclasses.replace(ROLE, name="good")
    stack = Stack(config, external, roles=[good, BROKEN])
    with pytest.raises(StartFailed, match=r"(?s)worker-1 did not start.*no luck"):
        stack.start()
    assert not stack.roles.processes["good"].alive


def test_state_shows_no_password(config: StackConfig, external: StackEnvironment) -> None:
    secret = dataclasses.replace(
        external, redis_url=str(external.redis_url).replace("redis://", "redis://:s3cret@")
    )
    with Stack(config, secret) as stack:
        shown = repr(stack.states())
    assert "s3cret" not in shown
    assert ":***@" in shown


def test_configuration_and_roles_survive_the_way_to_the_supervisor(config: StackConfig) -> None:
    request = Request(config=config, roles=(ROLE, BROKEN))
    write_request(request)
    assert read_request(config.directory) == request
