"""The store as a worker uses it: repeated commits, other owners, a flushed store."""

import asyncio

import pytest

from featurestore.events import UserId
from featurestore.state import UserState
from featurestore.state_layout import Header
from featurestore.store import Checkpoint, CommitResult, MemoryStore, StoreUnavailable
from streams.errors import RestartNeeded
from streams.metrics import WorkerMetrics
from streams.worker.accounting import WorkerAccounts
from streams.worker.storing import WorkerStore

U1 = UserId("u1")


def state(clock_ms: int) -> UserState:
    return UserState(Header(clock_ms=clock_ms).packed())


def at(next_offset: int) -> Checkpoint:
    return Checkpoint(topic_id="id", next_offset=next_offset, fold_version="1")


class Forgetful(MemoryStore):
    """Writes, and loses the answer of the first commit on the way."""

    num_lost = 1

    async def commit(self, *args: object, **kwargs: object) -> CommitResult:
        result = await super().commit(*args, **kwargs)  # type: ignore[arg-type]  # as it came
        if self.num_lost:
            self.num_lost -= 1
            raise StoreUnavailable("the answer was lost")
        return result


def worker_store(store: MemoryStore) -> tuple[WorkerStore, WorkerMetrics]:
    metrics = WorkerMetrics()
    return WorkerStore(store, WorkerAccounts(metrics), ttl_ms=1000, max_pause_s=0.01), metrics


def test_states_come_back_as_they_were_written() -> None:
    async def story() -> None:
        store, metrics = worker_store(MemoryStore())
        written = state(5)

        assert await store.commit(0, None, at(3), {U1: written}, {}) is None
        assert await store.load(0, [U1, UserId("u2")]) == {U1: written}
        assert await store.checkpoint("events", 0) == at(3)
        labels = {"command": "commit"}
        count = metrics.registry.get_sample_value(
            "recsys_redis_command_duration_seconds_count", labels
        )
        assert count == 1

    asyncio.run(story())


def test_a_commit_whose_answer_was_lost_is_a_success() -> None:
    async def story() -> None:
        store, metrics = worker_store(Forgetful())

        assert await store.commit(0, None, at(3), {U1: state(5)}, {}) is None
        assert await store.commit(0, at(3), at(4), {}, {}) is None
        assert metrics.registry.get_sample_value("recsys_redis_errors_total") == 1

    asyncio.run(story())


def test_another_owners_checkpoint_is_returned_and_nothing_written() -> None:
    async def story() -> None:
        shared = MemoryStore()
        ours, _ = worker_store(shared)
        theirs, _ = worker_store(shared)
        await theirs.commit(0, None, at(9), {U1: state(9)}, {})

        assert await ours.commit(0, None, at(3), {U1: state(3)}, {}) == at(9)
        assert await ours.load(0, [U1]) == {U1: state(9)}

    asyncio.run(story())


def test_a_flushed_or_restored_store_asks_for_a_restart() -> None:
    async def story() -> None:
        flushed, _ = worker_store(MemoryStore())
        with pytest.raises(RestartNeeded, match="flushed or restored"):
            await flushed.commit(0, at(3), at(4), {}, {})

        restored, _ = worker_store(MemoryStore())
        await restored.commit(0, None, at(2), {}, {})
        with pytest.raises(RestartNeeded, match="next_offset=2"):
            await restored.commit(0, at(3), at(4), {}, {})

    asyncio.run(story())
