"""Partitions that are ours: what is kept over an assignment, and jumps that nobody explains."""

import asyncio

import pytest

from featurestore.events import UserId
from featurestore.state import UserState
from featurestore.state_layout import Header
from featurestore.store import Checkpoint, MemoryStore
from streams.engine import LOG_START, TP
from streams.errors import RestartNeeded, StartRefused
from streams.metrics import WorkerMetrics
from streams.topic_identity import TopicIdentity
from streams.worker.accounting import WorkerAccounts
from streams.worker.ownership import NOTHING_LOST
from streams.worker.storing import WorkerStore
from streams.worker.takeover import OwnedPartitions
from tests.streams.stream_events import visit
from tests.streams.taught import chunk_of, config

FOLD = "1-aa"
P0, P1 = TP("events", 0), TP("events", 1)


def at(next_offset: int, topic_id: str = "id") -> Checkpoint:
    return Checkpoint(topic_id=topic_id, next_offset=next_offset, fold_version=FOLD)


class Taken:
    """Partitions over a store in memory, of a topic that exists by assertion."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, num_partitions: int = 2) -> None:
        self.identity = TopicIdentity(name="events", topic_id="id", num_partitions=num_partitions)
        monkeypatch.setattr("streams.topic_identity.identify_topic", lambda *_: self.identity)
        accounts = WorkerAccounts(WorkerMetrics())
        self.store = WorkerStore(MemoryStore(), accounts, ttl_ms=1000, max_pause_s=0.01)
        self.partitions = OwnedPartitions(config(), self.store, accounts, fold_version=FOLD)

    def take(self, *tps: TP) -> dict[TP, int]:
        return dict(asyncio.run(self.partitions.take_over(frozenset(tps))))

    def commit(self, partition: int, expected: Checkpoint | None, new: Checkpoint) -> None:
        asyncio.run(self.store.commit(partition, expected, new, {}, {}))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    return Taken(monkeypatch)


def test_each_partition_goes_on_at_its_checkpoint(taken: Taken) -> None:
    taken.commit(1, None, at(40))

    assert taken.take(P0, P1) == {P0: LOG_START, P1: 40}
    assert {one.number for one in taken.partitions.all()} == {0, 1}


def test_what_is_kept_stays_only_while_the_checkpoint_is_ours(taken: Taken) -> None:
    taken.commit(0, None, at(40))
    taken.take(P0)
    state = {UserId("u1"): UserState(Header(clock_ms=1).packed())}
    taken.partitions[0].states.put(state, 10)

    taken.take(P0, P1)
    assert taken.partitions[0].states.get(UserId("u1")) is not None

    taken.commit(0, at(40), at(50))
    assert taken.take(P0) == {P0: 50}
    assert taken.partitions[0].states.get(UserId("u1")) is None
    assert taken.partitions.get(1) is None


def test_another_number_of_partitions_is_refused_and_the_page_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = Taken(monkeypatch, num_partitions=2)
    taken.take(P0)
    taken.identity = TopicIdentity(name="events", topic_id="id", num_partitions=3)

    with pytest.raises(StartRefused, match=r"has 3 partitions.*it had 2.*migrate-partitions"):
        taken.take(P0)


def test_a_jump_that_retention_explains_is_named_and_any_other_is_a_fault(taken: Taken) -> None:
    taken.commit(0, None, at(40))
    taken.take(P0)
    owned = taken.partitions[0]
    assert taken.partitions.lost_before(owned, chunk_of(visit("u1"), from_offset=40)) == (
        NOTHING_LOST
    )

    with pytest.raises(RestartNeeded, match="goes on at offset 55, expected 40"):
        taken.partitions.lost_before(owned, chunk_of(visit("u1"), from_offset=55))

    taken.partitions.lost(P0, 15)
    assert taken.partitions.lost_before(owned, chunk_of(visit("u1"), from_offset=55)) == 40


def test_giving_way_drops_what_is_kept_and_refuses_other_rules(taken: Taken) -> None:
    taken.take(P0)
    owned = taken.partitions[0]
    owned.states.put({UserId("u1"): UserState(Header(clock_ms=1).packed())}, 10)

    taken.partitions.give_way(owned, at(90))
    assert owned.checkpoint == at(90)
    assert owned.states.get(UserId("u1")) is None

    with pytest.raises(StartRefused, match="deleted and created again"):
        taken.partitions.give_way(owned, at(95, topic_id="other"))
