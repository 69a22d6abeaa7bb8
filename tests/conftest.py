"""Which real servers may a test use? Started once a session, and only if a test asks for them."""

import os
import secrets
from collections.abc import Iterator

import pytest
import redis

from deploy.stack.broker import KafkaBroker, kafka_programs
from deploy.stack.environment import StackEnvironment, read_environment
from deploy.stack.redis_server import RedisServer, find_redis_server

_SERVER_FIXTURES = frozenset({"kafka", "redis_server"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that needs a real server, so that `-m "not integration"` is complete."""
    for item in items:
        if _SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def stack_environment() -> StackEnvironment:
    """The environment's programs and caches, but none of its running servers."""
    unwanted = {"HEADRACE_KAFKA", "HEADRACE_REDIS"}
    return read_environment({k: v for k, v in os.environ.items() if k not in unwanted})


@pytest.fixture(scope="session")
def kafka(
    stack_environment: StackEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaBroker]:
    """A real Apache Kafka: `.bootstrap`, and `.stop()`, `.start()`, `.restart()`, `.kill()`.

    Its data survives all of these. A test may leave it stopped: the next one finds it running.
    """
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), kafka_programs(stack_environment))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def redis_server(
    stack_environment: StackEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A real Redis or Valkey: `.url`, `.pause()`, `.resume()`, and what `kafka` has.

    It writes every change to disk, so that a restart or a crash loses nothing; what a loss does
    is tested with FLUSHALL. A test may leave it stopped or paused.
    """
    server = RedisServer(
        tmp_path_factory.mktemp("redis"), find_redis_server(stack_environment.path), appendonly=True
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _running_servers(request: pytest.FixtureRequest) -> None:
    """Bring back what an earlier test has stopped or paused."""
    for name in _SERVER_FIXTURES & set(request.fixturenames):
        server = request.getfixturevalue(name)
        server.resume()
        server.start()


@pytest.fixture
def topic_prefix(kafka: KafkaBroker) -> str:  # noqa: ARG001 - a prefix is of use with a broker
    """A prefix for topic and group names that no other test uses."""
    return f"t{secrets.token_hex(4)}."


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a running, empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        # Functions and cached scripts outlive a flush.
        client.script_flush()
        client.function_flush()
    return redis_server.url
