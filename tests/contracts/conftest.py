"""Runs a scenario on each kind of store, a fresh and empty one for each test."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis

from deploy.stack.redis_server import RedisServer, find_redis_server
from featurestore.redis_store import RedisStore
from featurestore.store import MemoryStore, Store

Scenario = Callable[[Store], Awaitable[None]]
RunOnStore = Callable[[Scenario], None]


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    """Wait until a condition holds; fail after `within_s`."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - the condition is the server's
            await asyncio.sleep(0.005)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder: Path = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder, find_redis_server(os.environ["PATH"]))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def run_on_store(request: pytest.FixtureRequest) -> RunOnStore:
    """Return what runs a scenario on a store of the test's kind."""
    if request.param == "memory":
        return _run_on_memory
    url = request.getfixturevalue("redis_server").url
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return lambda scenario: asyncio.run(_run_on_redis(scenario, url))


def _run_on_memory(scenario: Scenario) -> None:
    started_s = time.monotonic()
    store = MemoryStore(now_ms=lambda: int((time.monotonic() - started_s) * 1000))
    asyncio.run(_run(scenario, store))


async def _run_on_redis(scenario: Scenario, url: str) -> None:
    await _run(scenario, RedisStore.connect(url))


async def _run(scenario: Scenario, store: Store) -> None:
    try:
        await scenario(store)
    finally:
        await store.close()
