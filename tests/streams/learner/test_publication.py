from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from typing_extensions import override

from featurestore.store import BEFORE_ALL_DELTAS, MemoryStore, StoreUnavailable
from models.online.online_models import OnlineModels
from models.online.tables import DeltaOutcome
from streams.errors import RestartNeeded, StartRefused
from streams.learner.accounts import LearnerAccounts
from streams.learner.fold import LearnerFold
from streams.learner.publication import Publication
from streams.metrics import LearnerMetrics
from streams.sections import AttributionConfig
from tests.streams.example_logs import LAYOUT, START_MS, action, impression, new_online, record_of

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class Learner:
    """A learner without Kafka."""

    def __init__(self, store: MemoryStore, layout: str = LAYOUT) -> None:
        self.online = new_online()
        config = AttributionConfig()
        self.fold = LearnerFold(self.online, config, layout=layout, topic_id="x")
        self.metrics = LearnerMetrics()
        self.publication = Publication(
            store, self.online, self.fold, LearnerAccounts(self.metrics), max_pause_s=0.01
        )

    def learn(self, offset: int) -> None:
        events = [
            impression("u", ["a", "b"], START_MS, request=f"r{offset}"),
            action("u", f"i{offset}", START_MS),
        ]
        self.fold.fold(record_of(events, 2 * offset), offset)
        self.publication.learned(START_MS)


async def replica(store: MemoryStore) -> OnlineModels:
    online = new_online()
    base = await store.load_base()
    assert base is not None
    online.restore(base.payload)
    for delta in await store.read_deltas(BEFORE_ALL_DELTAS, 0):
        assert online.apply_delta(delta.payload) is not DeltaOutcome.GAP
    return online


class AnswersLost(MemoryStore):
    """A store that does what it is told, and whose first answer to each write is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._answered: set[str] = set()

    def _lose(self, call: str) -> None:
        if call not in self._answered:
            self._answered.add(call)
            raise StoreUnavailable("the connection broke")

    @override
    async def save_base(
        self, *, expected_version: int, offset: int, payload: bytes, meta: bytes
    ) -> bool:
        saved = await super().save_base(
            expected_version=expected_version, offset=offset, payload=payload, meta=meta
        )
        self._lose("base")
        return saved

    @override
    async def append_delta(
        self, *, expected_version: int, from_offset: int, to_offset: int, payload: bytes
    ) -> bool:
        appended = await super().append_delta(
            expected_version=expected_version,
            from_offset=from_offset,
            to_offset=to_offset,
            payload=payload,
        )
        self._lose("delta")
        return appended


@pytest.mark.parametrize("make_store", [MemoryStore, AnswersLost])
def test_a_replica_of_base_and_deltas_is_the_learner(make_store: type[MemoryStore]) -> None:
    async def work() -> None:
        store = make_store()
        learner = Learner(store)
        await learner.publication.take_over()
        for offset in range(6):
            learner.learn(offset)
            await learner.publication.publish_delta()
            if offset == 3:
                await learner.publication.save_base()
            assert (await replica(store)).snapshot() == learner.online.snapshot()

    run(work())


def test_nothing_is_published_when_nothing_was_learned() -> None:
    async def work() -> None:
        store = MemoryStore()
        learner = Learner(store)
        await learner.publication.take_over()
        learner.learn(0)
        for _ in range(3):
            await learner.publication.publish_delta()
        assert len(await store.read_deltas(BEFORE_ALL_DELTAS, 0)) == 1

    run(work())


def test_a_restarted_learner_goes_on_from_the_base_and_fences_the_former_one() -> None:
    async def work() -> None:
        store = MemoryStore()
        former = Learner(store)
        await former.publication.take_over()
        for offset in range(4):
            former.learn(offset)
        await former.publication.save_base()
        successor = Learner(store)
        await successor.publication.take_over()
        assert successor.fold.is_refilling
        for offset in range(successor.fold.next_offset, 4):
            successor.learn(offset)
        assert successor.online.snapshot() == former.online.snapshot()
        assert await successor.publication.is_ours()
        assert not await former.publication.is_ours()

        former.learn(4)
        with pytest.raises(RestartNeeded, match="another learner has taken over"):
            await former.publication.publish_delta()
        with pytest.raises(RestartNeeded):
            await former.publication.save_base()
        successor.learn(4)
        await successor.publication.publish_delta()

    run(work())


def test_of_two_learners_that_start_at_once_one_gives_way() -> None:
    async def work() -> None:
        store = MemoryStore()
        first, second = Learner(store), Learner(store)
        assert await store.load_base() is None
        await first.publication.take_over()
        with pytest.raises(RestartNeeded):
            await second.publication._save(
                expected_version=0, offset=0, payload=second.online.snapshot()
            )

    run(work())


def test_a_flushed_store_is_noticed() -> None:
    async def work() -> None:
        store = MemoryStore()
        learner = Learner(store)
        await learner.publication.take_over()
        learner.learn(0)
        store._base = None
        with pytest.raises(RestartNeeded, match="flushed"):
            await learner.publication.publish_delta()

    run(work())


def test_a_base_taken_over_while_refilling_can_be_taken_over_again() -> None:
    async def work() -> None:
        store = MemoryStore()
        former = Learner(store)
        await former.publication.take_over()
        for offset in range(4):
            former.learn(offset)
        await former.publication.save_base()
        for _ in range(2):
            interrupted = Learner(store)
            await interrupted.publication.take_over()
            await interrupted.publication.save_base()
        successor = Learner(store)
        await successor.publication.take_over()
        for offset in range(successor.fold.next_offset, 4):
            successor.learn(offset)
        assert successor.online.snapshot() == former.online.snapshot()

    run(work())


def test_a_damaged_base_is_refused_with_the_remedy() -> None:
    async def work() -> None:
        store = MemoryStore()
        learner = Learner(store)
        await learner.publication.take_over()
        base = await store.load_base()
        assert base is not None
        damaged = bytearray(base.payload)
        damaged[-1] ^= 1
        await store.save_base(expected_version=1, offset=0, payload=bytes(damaged), meta=base.meta)
        with pytest.raises(StartRefused, match="redis-cli DEL learner:base"):
            await Learner(store).publication.take_over()

    run(work())


def test_a_base_of_another_layout_is_refused() -> None:
    async def work() -> None:
        store = MemoryStore()
        await Learner(store, layout="other").publication.take_over()
        with pytest.raises(StartRefused, match="feature layout 'other'"):
            await Learner(store).publication.take_over()

    run(work())


def test_freshness_is_measured_when_the_write_was_acknowledged() -> None:
    async def work() -> float | None:
        store = AnswersLost()
        learner = Learner(store)
        await learner.publication.take_over()
        learner.learn(0)
        learner.learn(1)
        await learner.publication.publish_delta()
        return learner.metrics.registry.get_sample_value(
            "recsys_freshness_seconds_count", {"path": "online"}
        )

    assert run(work()) == 2
