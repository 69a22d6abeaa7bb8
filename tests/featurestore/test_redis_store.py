"""What only a real server can show: expiry, deadlines, forgotten scripts, foreign keys, memory."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest
from redis import Redis

from featurestore.codec import encode_state
from featurestore.events import Event, Impression, ItemId, ShownItem, UserId
from featurestore.keys import checkpoint_key, recommendations_key, state_key
from featurestore.lists import (
    AsOf,
    ModelVersions,
    RecommendationList,
    RecommendedItem,
    encode_list,
)
from featurestore.redis_store import RedisStore
from featurestore.store import (
    BEFORE_ALL_DELTAS,
    Checkpoint,
    Committed,
    StoreCorrupt,
    StoreUnavailable,
)
from tests.featurestore.user_events import RULES, START_MS, action, folded

pytestmark = pytest.mark.integration

U1 = UserId("u1")
CHECKPOINT = Checkpoint(topic_id="t1", next_offset=10, fold_version="1-0")


@pytest.fixture
def client(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url) as client:
        yield client


def run(
    url: str, scenario: Callable[[RedisStore], Awaitable[None]], deadline_s: float = 10.0
) -> None:
    async def within() -> None:
        store = RedisStore.connect(url, deadline_s=deadline_s)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(within())


def test_states_and_lists_carry_their_lifetime_and_the_checkpoint_has_none(
    client: "Redis", redis_url: str
) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit(3, None, CHECKPOINT, {U1: b"s"}, {U1: b"l"}, 600_000)

    run(redis_url, scenario)
    assert 590_000 < int(client.pttl(state_key("events", 3, "u1"))) <= 600_000
    assert 590_000 < int(client.pttl(recommendations_key("u1"))) <= 600_000
    assert client.pttl(checkpoint_key("events", 3)) == -1
    assert client.get("ck:{events-3}") == (
        b'{"topic_id":"t1","next_offset":10,"fold_version":"1-0"}'
    )


def test_a_server_that_has_forgotten_the_scripts_is_told_again(
    client: "Redis", redis_url: str
) -> None:
    async def scenario(store: RedisStore) -> None:
        client.script_flush()
        result = await store.commit(3, None, CHECKPOINT, {U1: b"s"}, {}, 600_000)
        assert result == Committed()
        client.script_flush()
        assert await store.save_base(expected_version=0, offset=1, payload=b"p", meta=b"m")

    run(redis_url, scenario)


def test_a_server_that_is_away_is_unavailable() -> None:
    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable):
            await store.load_states(3, [U1])
        with pytest.raises(StoreUnavailable):
            await store.commit(3, None, CHECKPOINT, {}, {}, 1000)

    run("redis://127.0.0.1:1/0", scenario)


def test_a_server_that_accepts_and_never_answers_is_unavailable_after_the_deadline() -> None:
    async def silent() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            writer.close()

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            store = RedisStore.connect(f"redis://127.0.0.1:{port}/0", deadline_s=0.05)
            started_s = asyncio.get_running_loop().time()
            with pytest.raises(StoreUnavailable, match=r"0\.05 s"):
                await store.get_list(U1)
            assert asyncio.get_running_loop().time() - started_s < 2
            await store.close()

    asyncio.run(silent())


def test_after_a_missed_deadline_the_next_answers_are_the_right_ones(
    client: "Redis", redis_url: str
) -> None:
    client.set("rec:u1", b"one")
    client.set("rec:u2", b"two")

    async def scenario(store: RedisStore) -> None:
        assert await store.get_list(U1) == b"one"
        client.client_pause(300)
        with pytest.raises(StoreUnavailable):
            await store.get_list(U1)
        client.client_unpause()
        for _ in range(3):
            assert await store.get_list(UserId("u2")) == b"two"

    run(redis_url, scenario, deadline_s=0.1)


def test_waiting_for_deltas_does_not_count_against_the_deadline(
    client: "Redis", redis_url: str
) -> None:
    assert client.ping()

    async def scenario(store: RedisStore) -> None:
        assert await store.read_deltas(BEFORE_ALL_DELTAS, 150) == []

    run(redis_url, scenario, deadline_s=0.1)


def test_a_server_that_takes_no_writes_is_unavailable(client: "Redis", redis_url: str) -> None:
    client.config_set("maxmemory", "1")
    try:

        async def scenario(store: RedisStore) -> None:
            with pytest.raises(StoreUnavailable, match="maxmemory"):
                await store.commit(3, None, CHECKPOINT, {U1: b"s"}, {}, 1000)
            assert await store.checkpoint("events", 3) is None

        run(redis_url, scenario)
    finally:
        client.config_set("maxmemory", "0")


def test_what_somebody_else_wrote_is_corrupt(client: "Redis", redis_url: str) -> None:
    client.set("ck:{events-3}", b"not ours")
    client.lpush("rec:u1", b"a list of another kind")
    client.hset("learner:base", "version", "7")
    client.xadd("learner:deltas", {"from": "x"})
    client.set("partitions:events", "many")

    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreCorrupt, match="checkpoint"):
            await store.checkpoint("events", 3)
        with pytest.raises(StoreCorrupt, match="checkpoint"):
            await store.commit(3, CHECKPOINT, CHECKPOINT, {}, {}, 1000)
        with pytest.raises(StoreCorrupt, match="another type"):
            await store.get_list(U1)
        with pytest.raises(StoreCorrupt, match="payload"):
            await store.load_base()
        with pytest.raises(StoreCorrupt, match="no delta"):
            await store.read_deltas(BEFORE_ALL_DELTAS, 0)
        with pytest.raises(StoreCorrupt, match="whole number"):
            await store.record_partitions("events", 3)

    run(redis_url, scenario)


def test_a_user_with_200_actions_and_a_list_of_20_takes_at_most_4_kib(
    client: "Redis", redis_url: str
) -> None:
    """Ids of 16 bytes, every action on another item, as many reasons as a list gives at most.

    All items are of the source with the longest name, and ten say why
    (streams.pipeline.recommending).
    """
    generator = random.Random(1)
    user_id = UserId(_id(generator))
    state = encode_state(folded(_a_full_past(generator), rules=RULES))
    recommendations = encode_list(_a_list(generator, user_id, num_reasons=10))

    async def scenario(store: RedisStore) -> None:
        await store.commit(3, None, CHECKPOINT, {user_id: state}, {user_id: recommendations}, 10**9)

    run(redis_url, scenario)
    keys = state_key("events", 3, user_id), recommendations_key(user_id)
    used_bytes = [client.memory_usage(key) for key in keys]
    assert all(used_bytes)
    assert sum(used for used in used_bytes if used) <= 4096
    assert len(state) == 1773
    assert len(recommendations) < 1950


def _id(generator: random.Random) -> str:
    return f"{generator.getrandbits(64):016x}"


def _a_full_past(generator: random.Random) -> list[Event]:
    """200 actions in sessions of ten, a slate of 20 before every third."""
    events: list[Event] = []
    for number in range(200):
        ts_ms = START_MS + number // 10 * 86_400_000 + number % 10 * 30_000
        if number % 3 == 0:
            events.append(
                Impression(
                    event_id=_id(generator),
                    user_id=U1,
                    ts_ms=ts_ms,
                    items=tuple(
                        ShownItem(item_id=ItemId(_id(generator)), position=place)
                        for place in range(1, 21)
                    ),
                )
            )
        events.append(action(number, _id(generator), ts_ms=ts_ms))
    return events


def _a_list(generator: random.Random, user_id: UserId, *, num_reasons: int) -> RecommendationList:
    return RecommendationList(
        user_id=user_id,
        list_id="3-1207123",
        items=tuple(
            RecommendedItem(
                item_id=ItemId(_id(generator)),
                score=generator.gauss(0, 2),
                source="covisitation",
                reason=_id(generator) if place <= num_reasons else None,
                position=place,
            )
            for place in range(1, 21)
        ),
        as_of=AsOf(partition=3, offset=1_207_123),
        now_ms=START_MS,
        computed_at_ms=START_MS,
        models=ModelVersions(
            online=1_234_567,
            bundles={"transformer": "a1b2c3d4"},
            items="a1b2c3d4",
            config="a1b2c3d4",
        ),
    )
