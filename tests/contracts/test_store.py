"""What every store promises: the same suite on the memory store and on a real Redis."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from featurestore.events import UserId
from featurestore.store import (
    BEFORE_ALL_DELTAS,
    MAX_LISTS_PER_COMMIT,
    Ahead,
    Base,
    Checkpoint,
    Committed,
    Missing,
    Store,
)
from tests.contracts.conftest import RunOnStore, eventually

U1, U2 = UserId("u1"), UserId("u2 {with} brace")
LONG_MS = 600_000


def at(next_offset: int, topic_id: str = "t1", fold_version: str = "1-0") -> Checkpoint:
    return Checkpoint(topic_id=topic_id, next_offset=next_offset, fold_version=fold_version)


async def move(store: Store, expected: Checkpoint | None, new: Checkpoint) -> object:
    return await store.commit(3, expected, new, {}, {}, LONG_MS)


def test_before_the_first_commit_there_is_nothing(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        assert await store.checkpoint("events", 3) is None
        assert await store.load_states(3, [U1, U2]) == [None, None]
        assert await store.load_states(3, []) == []
        assert await store.get_list(U1) is None
        assert await store.get_shared(b"rec:popular") is None
        assert await store.load_base() is None
        assert await store.read_deltas(BEFORE_ALL_DELTAS, 0) == []

    run_on_store(scenario)


def test_a_commit_writes_states_lists_and_checkpoint(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        result = await store.commit(
            3, None, at(10), {U1: b"s1", U2: b"\0\xff"}, {U1: b"l1"}, LONG_MS
        )
        assert result == Committed()
        assert await store.checkpoint("events", 3) == at(10)
        assert await store.load_states(3, [U2, UserId("nobody"), U1]) == [b"\0\xff", None, b"s1"]
        assert await store.get_list(U1) == b"l1"
        assert await store.get_list(U2) is None

    run_on_store(scenario)


def test_partitions_and_topics_have_their_own_checkpoints_and_states(
    run_on_store: RunOnStore,
) -> None:
    async def scenario(store: Store) -> None:
        await store.commit(3, None, at(10), {U1: b"three"}, {}, LONG_MS)
        assert await store.checkpoint("events", 4) is None
        assert await store.checkpoint("other", 3) is None
        assert await store.load_states(4, [U1]) == [None]
        await store.commit(4, None, at(7), {U1: b"four"}, {}, LONG_MS)
        assert await store.load_states(3, [U1]) == [b"three"]

    run_on_store(scenario)


def test_a_commit_goes_on_from_the_exact_checkpoint(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        await store.commit(3, None, at(10), {U1: b"old"}, {}, LONG_MS)
        result = await store.commit(3, at(10), at(20), {U1: b"new"}, {}, LONG_MS)
        assert result == Committed()
        assert await store.load_states(3, [U1]) == [b"new"]

    run_on_store(scenario)


@pytest.mark.parametrize(
    ("stands", "expected", "result"),
    [
        (at(20), at(10), Ahead(at(20))),
        (at(20), None, Ahead(at(20))),
        (None, at(10), Missing(None)),
        (at(5), at(10), Missing(at(5))),
        (at(20, topic_id="t2"), at(10), Missing(at(20, topic_id="t2"))),
        (at(10, fold_version="2-0"), at(10), Missing(at(10, fold_version="2-0"))),
    ],
)
def test_a_commit_from_another_checkpoint_changes_nothing(
    run_on_store: RunOnStore,
    stands: Checkpoint | None,
    expected: Checkpoint | None,
    result: object,
) -> None:
    async def scenario(store: Store) -> None:
        if stands is not None:
            await store.commit(3, None, stands, {U1: b"theirs"}, {U1: b"theirs"}, LONG_MS)
        refused = await store.commit(3, expected, at(30), {U1: b"mine"}, {U1: b"mine"}, LONG_MS)
        assert refused == result
        assert await store.checkpoint("events", 3) == stands
        theirs = None if stands is None else b"theirs"
        assert await store.load_states(3, [U1]) == [theirs]
        assert await store.get_list(U1) == theirs

    run_on_store(scenario)


def test_a_commit_sent_twice_takes_effect_once(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        assert await move(store, None, at(10)) == Committed()
        assert await move(store, None, at(10)) == Ahead(at(10))

    run_on_store(scenario)


def test_of_two_owners_only_one_commits(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        await move(store, None, at(10))
        results = await asyncio.gather(
            *(
                store.commit(3, at(10), at(20 + mine), {U1: b"%d" % mine}, {}, LONG_MS)
                for mine in range(8)
            )
        )
        winners = [mine for mine, result in enumerate(results) if result == Committed()]
        assert len(winners) == 1
        assert await store.load_states(3, [U1]) == [b"%d" % winners[0]]
        assert await store.checkpoint("events", 3) == at(20 + winners[0])

    run_on_store(scenario)


def test_more_lists_than_one_step_may_write_are_refused(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        lists = {UserId(f"u{n}"): b"l" for n in range(MAX_LISTS_PER_COMMIT + 1)}
        with pytest.raises(ValueError, match="65 lists"):
            await store.commit(3, None, at(10), {}, lists, LONG_MS)
        assert await store.checkpoint("events", 3) is None
        lists.popitem()
        assert await store.commit(3, None, at(10), {}, lists, LONG_MS) == Committed()

    run_on_store(scenario)


def test_many_states_go_in_one_step_and_come_back_in_order(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        states = {UserId(f"u{n}"): b"%d" % n * 300 for n in range(1_300)}
        assert await store.commit(3, None, at(10), states, {}, LONG_MS) == Committed()
        users = list(states)[::-1]
        assert await store.load_states(3, users) == [states[user] for user in users]

    run_on_store(scenario)


def test_states_and_lists_expire_and_the_checkpoint_does_not(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        await store.commit(3, None, at(10), {U1: b"s"}, {U1: b"l"}, 60)
        await eventually(lambda: _is_gone(store))
        assert await store.checkpoint("events", 3) == at(10)

    run_on_store(scenario)


async def _is_gone(store: Store) -> bool:
    return await store.load_states(3, [U1]) == [None] and await store.get_list(U1) is None


def test_the_first_number_of_partitions_stays_recorded(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        assert await store.record_partitions("events", 12) == 12
        assert await store.record_partitions("events", 24) == 12
        assert await store.record_partitions("other", 24) == 24

    run_on_store(scenario)


def test_shared_lists_are_replaced_together_and_expire(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        await store.put_shared({b"rec:popular": b"one", b"similar:i1": b"its"}, ttl_ms=LONG_MS)
        await store.put_shared({b"rec:popular": b"two"}, ttl_ms=LONG_MS)
        assert await store.get_shared(b"rec:popular") == b"two"
        await store.put_shared({b"rec:popular": b"brief"}, ttl_ms=60)

        async def is_gone() -> bool:
            return await store.get_shared(b"rec:popular") is None

        await eventually(is_gone)
        assert await store.get_shared(b"similar:i1") == b"its"
        with pytest.raises(ValueError, match="65 lists"):
            await store.put_shared({b"%d" % number: b"" for number in range(65)}, ttl_ms=1)

    run_on_store(scenario)


def test_a_base_is_saved_only_over_the_version_one_knows(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        save = _saving(store)
        assert not await save(1, 5, b"early")
        assert await save(0, 10, b"\0\xff")
        assert not await save(0, 20, b"zombie")
        assert await store.load_base() == Base(
            version=1, offset=10, payload=b"\0\xff", meta=b"meta"
        )
        assert await save(1, 30, b"next")
        base = await store.load_base()
        assert base is not None
        assert (base.version, base.offset, base.payload) == (2, 30, b"next")

    run_on_store(scenario)


def test_deltas_are_read_in_order_after_an_id(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        for offset in (0, 5, 9):
            assert await store.append_delta(
                expected_version=0,
                from_offset=offset,
                to_offset=offset + 4,
                payload=b"\0%d" % offset,
            )
        deltas = await store.read_deltas(BEFORE_ALL_DELTAS, 0)
        assert [delta[1:] for delta in deltas] == [
            (0, 4, b"\x000"),
            (5, 9, b"\x005"),
            (9, 13, b"\x009"),
        ]
        assert await store.read_deltas(deltas[0].id, 0) == deltas[1:]
        assert await store.read_deltas(deltas[2].id, 0) == []

    run_on_store(scenario)


def test_a_delta_under_another_base_is_refused(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        append = _appending(store)
        assert not await append(1, 0, 5)
        await _saving(store)(0, 0, b"base")
        assert not await append(0, 0, 5)
        assert await append(1, 0, 5)
        assert len(await store.read_deltas(BEFORE_ALL_DELTAS, 0)) == 1

    run_on_store(scenario)


def test_the_last_delta_sent_again_is_not_repeated(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        append = _appending(store)
        for start in (0, 5, 5, 5, 10):
            assert await append(0, start, start + 5)
        deltas = await store.read_deltas(BEFORE_ALL_DELTAS, 0)
        assert [(delta.from_offset, delta.to_offset) for delta in deltas] == [
            (0, 5),
            (5, 10),
            (10, 15),
        ]

    run_on_store(scenario)


def test_a_base_drops_just_the_deltas_that_it_contains(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        append, save = _appending(store), _saving(store)
        for start in (0, 5, 10, 15):
            await append(0, start, start + 5)
        assert await save(0, 12, b"base")
        deltas = await store.read_deltas(BEFORE_ALL_DELTAS, 0)
        assert [delta.from_offset for delta in deltas] == [10, 15]
        assert await save(1, 20, b"base")
        assert await store.read_deltas(BEFORE_ALL_DELTAS, 0) == []
        assert await append(2, 20, 25)
        assert len(await store.read_deltas(deltas[-1].id, 0)) == 1

    run_on_store(scenario)


def test_a_reader_that_waits_gets_the_next_delta(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        reading = asyncio.ensure_future(store.read_deltas(BEFORE_ALL_DELTAS, 30_000))
        await store.append_delta(expected_version=0, from_offset=0, to_offset=5, payload=b"p")
        assert [delta.to_offset for delta in await reading] == [5]

    run_on_store(scenario)


def test_a_reader_that_waits_in_vain_gets_nothing(run_on_store: RunOnStore) -> None:
    async def scenario(store: Store) -> None:
        assert await store.read_deltas(BEFORE_ALL_DELTAS, 20) == []

    run_on_store(scenario)


def _saving(store: Store) -> Callable[[int, int, bytes], Awaitable[bool]]:
    async def save(expected_version: int, offset: int, payload: bytes) -> bool:
        return await store.save_base(
            expected_version=expected_version, offset=offset, payload=payload, meta=b"meta"
        )

    return save


def _appending(store: Store) -> Callable[[int, int, int], Awaitable[bool]]:
    async def append(expected_version: int, from_offset: int, to_offset: int) -> bool:
        return await store.append_delta(
            expected_version=expected_version,
            from_offset=from_offset,
            to_offset=to_offset,
            payload=b"payload",
        )

    return append
