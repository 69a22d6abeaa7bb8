"""The worker's replica: base, deltas, gaps, damage."""

import asyncio
from collections.abc import Awaitable, Callable

from featurestore.store import MemoryStore
from models.online.online_models import OnlineModels
from streams.config import config_of
from streams.metrics import WorkerMetrics
from streams.worker.replica import Replica

CONFIG = config_of({})


def flipped(payload: bytes) -> bytes:
    return payload[:-1] + bytes([payload[-1] ^ 1])


class Learner:
    """Learns, and publishes as the learner does."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.online: OnlineModels = CONFIG.online_models()
        self.version = 0

    def learn(self, item_id: str) -> None:
        offset = self.online.offset
        self.online.learn_action(item_id, weight=1.0, time_ms=1000 + offset, previous=[])
        self.online.advance(offset + 1)

    async def publish(self, *, damaged: bool = False) -> None:
        delta = self.online.take_delta()
        payload = delta.payload
        if damaged:
            payload = flipped(payload)
        await self.store.append_delta(
            expected_version=self.version,
            from_offset=delta.from_offset,
            to_offset=delta.to_offset,
            payload=payload,
        )
        self.online.delta_acknowledged()

    async def save(self) -> None:
        await self.store.save_base(
            expected_version=self.version,
            offset=self.online.offset,
            payload=self.online.snapshot(),
            meta=b"",
        )
        self.version += 1


class Bench:
    """A learner, a replica and the store between them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.learner = Learner(self.store)
        self.online: OnlineModels = CONFIG.online_models()
        self.metrics = WorkerMetrics()
        self.replica = Replica(self.online, self.store, self.metrics, max_pause_s=0.1)

    def assert_equal(self) -> None:
        assert self.online.offset == self.learner.online.offset
        assert self.online.snapshot() == self.learner.online.snapshot()

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def run(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def told() -> None:
        await story(Bench())

    asyncio.run(told())


def test_without_a_learner_it_knows_nothing_at_offset_0() -> None:
    async def story(bench: Bench) -> None:
        await bench.replica.load()
        assert bench.online.offset == 0
        bench.assert_equal()

    run(story)


def test_it_follows_deltas_from_nothing() -> None:
    async def story(bench: Bench) -> None:
        for item_id in "abc":
            bench.learner.learn(item_id)
            await bench.learner.publish()
        await bench.replica.load()
        bench.assert_equal()
        assert bench.sample("recsys_replica_offset") == 3

    run(story)


def test_a_base_and_the_deltas_behind_it_are_enough() -> None:
    async def story(bench: Bench) -> None:
        bench.learner.learn("a")
        await bench.learner.publish()
        bench.learner.learn("b")
        await bench.learner.publish()
        await bench.learner.save()
        bench.learner.learn("c")
        await bench.learner.publish()
        await bench.replica.load()
        bench.assert_equal()

    run(story)


def test_deltas_that_were_trimmed_meanwhile_are_made_up_for_by_the_base() -> None:
    async def story(bench: Bench) -> None:
        bench.learner.learn("a")
        await bench.learner.publish()
        await bench.replica.load()
        bench.learner.learn("b")
        await bench.learner.publish()
        await bench.learner.save()
        bench.learner.learn("c")
        await bench.learner.publish()
        await bench.replica.load()
        bench.assert_equal()

    run(story)


def test_a_damaged_delta_is_refused_and_the_next_base_mends_it() -> None:
    async def story(bench: Bench) -> None:
        bench.learner.learn("a")
        await bench.learner.publish()
        await bench.replica.load()
        before = bench.online.snapshot()
        bench.learner.learn("b")
        await bench.learner.publish(damaged=True)
        bench.learner.learn("c")
        await bench.learner.publish()
        await bench.replica.load()

        assert bench.online.snapshot() == before
        assert bench.sample("recsys_model_refusals_total", kind="online") == 1
        assert bench.sample("recsys_replica_deltas_total", outcome="gap") == 1

        await bench.learner.save()
        bench.learner.learn("d")
        await bench.learner.publish()
        await bench.replica.load()
        bench.assert_equal()

    run(story)


def test_a_damaged_base_or_one_of_another_layout_changes_nothing() -> None:
    async def story(bench: Bench) -> None:
        bench.learner.learn("a")
        payload = bench.learner.online.snapshot()
        await bench.store.save_base(
            expected_version=0, offset=1, payload=flipped(payload), meta=b""
        )
        await bench.replica.load()
        assert bench.online.offset == 0

        other = config_of({"features": {"context_buckets": 32}}).online_models()
        other.advance(5)
        await bench.store.save_base(
            expected_version=1, offset=5, payload=other.snapshot(), meta=b""
        )
        await bench.replica.load()
        assert bench.online.offset == 0
        assert bench.sample("recsys_model_refusals_total", kind="online") == 2

    run(story)


def test_following_takes_what_comes() -> None:
    async def story(bench: Bench) -> None:
        following = asyncio.create_task(bench.replica.follow())
        for item_id in "ab":
            bench.learner.learn(item_id)
            await bench.learner.publish()
            async with asyncio.timeout(10):
                while bench.online.offset < bench.learner.online.offset:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        following.cancel()
        bench.assert_equal()

    run(story)
