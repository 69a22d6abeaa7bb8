"""Runs a scenario on each kind of store, a fresh and empty one for each test."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from featurestore.redis_store import RedisStore
from featurestore.store import MemoryStore, Store

Scenario = Callable[[Store], Awaitable[None]]
RunOnStore = Callable[[Scenario], None]


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    """Wait until a condition holds; fail after `within_s`."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - the condition is the server's
            await asyncio.sleep(0.005)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def run_on_store(request: pytest.FixtureRequest) -> RunOnStore:
    """Return what runs a scenario on a store of the test's kind."""
    if request.param == "memory":
        return _run_on_memory
    url = request.getfixturevalue("redis_url")
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
