"""What is held of a partition, and where it goes on."""

import pytest

from featurestore.events import UserId
from featurestore.state import UserState
from featurestore.state_layout import Header
from featurestore.store import Checkpoint
from streams.engine import LOG_START
from streams.errors import StartRefused
from streams.pipeline.list_requests import Trigger
from streams.worker.ownership import (
    MAX_OWED,
    NOTHING_LOST,
    OwnedPartition,
    StateCache,
    lost_from,
    start_offset,
)
from tests.streams.stream_events import START_MS, click, visit
from tests.streams.taught import Line, chunk_of, config, live_models

HERE = Checkpoint(topic_id="id", next_offset=40, fold_version="1-aa")


def start(checkpoint: Checkpoint | None) -> int:
    return start_offset(checkpoint, topic="events", partition=3, topic_id="id", fold_version="1-aa")


def test_without_a_checkpoint_it_starts_at_the_logs_start() -> None:
    assert start(None) == LOG_START
    assert start(HERE) == 40


def test_a_recreated_topic_and_another_fold_are_refused_with_the_remedy() -> None:
    with pytest.raises(StartRefused, match=r"events-3 .*deleted and created again.*FLUSHDB"):
        start(Checkpoint(topic_id="other", next_offset=40, fold_version="1-aa"))
    with pytest.raises(StartRefused, match=r"version 1-bb, expected 1-aa.*FLUSHDB"):
        start(Checkpoint(topic_id="id", next_offset=40, fold_version="1-bb"))


def test_what_retention_cut_between_checkpoint_and_chunk_is_named() -> None:
    chunk = chunk_of(visit("u1"), from_offset=55)

    assert lost_from(HERE, chunk) == 40
    assert lost_from(HERE, chunk_of(visit("u1"), from_offset=40)) == NOTHING_LOST
    assert lost_from(None, chunk) == NOTHING_LOST


def test_only_what_lies_behind_the_checkpoint_is_still_to_be_written() -> None:
    owned = OwnedPartition(number=0, checkpoint=HERE)

    assert owned.not_yet_written(chunk_of(visit("u1"), from_offset=39)) is None
    rest = owned.not_yet_written(chunk_of(visit("u1"), visit("u2"), from_offset=39))
    assert rest is not None
    assert rest.from_offset == 40
    assert OwnedPartition(number=0, checkpoint=None).not_yet_written(rest) is rest


def states(*user_ids: str, clock_ms: int = 1) -> dict[UserId, UserState]:
    return {UserId(user_id): UserState(Header(clock_ms=clock_ms).packed()) for user_id in user_ids}


def test_the_cache_keeps_the_latest_users_and_their_latest_states() -> None:
    cache = StateCache()
    cache.put(states("a", "b", "c"), max_users=6)
    cache.put(states("b", clock_ms=2), max_users=6)
    assert cache.get(UserId("b")) == UserState(Header(clock_ms=2).packed())

    for number in range(20):
        cache.put(states(f"later{number}"), max_users=6)

    assert cache.get(UserId("a")) is None
    assert cache.get(UserId("later19")) == UserState(Header(clock_ms=1).packed())
    assert 3 <= cache.num_kept <= 5


def test_a_cache_of_nothing_still_holds_what_was_put_last() -> None:
    cache = StateCache()
    cache.put(states("a", "b"), max_users=0)
    cache.put(states("c"), max_users=0)

    assert cache.get(UserId("a")) is None
    assert cache.get(UserId("c")) is not None


def test_a_list_is_owed_until_it_is_paid_or_built() -> None:
    settings = config()
    line = Line(settings, live_models(settings, [["a", "b"]]))
    owned = OwnedPartition(number=0, checkpoint=None)
    behind = line.take(
        click("u1", "a", context={"device": "phone"}), visit("u2"), visit("u3"), wants_lists=False
    )
    owned.written(HERE, behind, max_users=10)
    assert owned.first_owed(2) == {
        UserId("u1"): Trigger(f"u1-click-a-{START_MS}", {"device": "phone"}),
        UserId("u2"): Trigger(f"u2-visit-{START_MS}", None),
    }

    owned.written(HERE, line.take(visit("u2", START_MS + 1)), max_users=10)
    owned.paid([UserId("u1")])

    assert list(owned.first_owed(9)) == [UserId("u3")]
    assert MAX_OWED > 0


def test_another_owner_makes_everything_in_memory_out_of_date() -> None:
    settings = config()
    line = Line(settings, live_models(settings))
    owned = OwnedPartition(number=0, checkpoint=None)
    owned.written(HERE, line.take(visit("u1"), wants_lists=False), max_users=10)
    further = Checkpoint(topic_id="id", next_offset=90, fold_version="1-aa")

    owned.forget(further)

    assert owned.states.get(UserId("u1")) is None
    assert owned.first_owed(9) == {}
    assert owned.checkpoint == further
