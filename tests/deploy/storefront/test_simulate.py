from collections.abc import Iterator

import msgspec
import pytest
import redis
from kafka import KafkaConsumer, TopicPartition

from deploy.stack.broker import KafkaBroker
from deploy.stack.topics import TopicLayout, create_topics
from deploy.storefront.events import CatalogueItem
from deploy.storefront.publisher import Publisher, PublishError
from deploy.storefront.reader import RecommendationReader
from deploy.storefront.settings import Settings
from deploy.storefront.simulate import Progress, simulate
from featurestore.events import decode_event
from featurestore.partition import partition_of

NUM_PARTITIONS = 4


@pytest.fixture
def topics(kafka: KafkaBroker, topic_prefix: str) -> str:
    create_topics(kafka.bootstrap, TopicLayout(num_partitions=NUM_PARTITIONS, prefix=topic_prefix))
    return topic_prefix


def _records(bootstrap: str, topic: str) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (partition, key, value) of everything in a topic now."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                yield record.partition, record.key, record.value
    consumer.close()


def _list(list_id: str, item_ids: list[str]) -> bytes:
    items = [{"item_id": item_id, "score": 1.0, "propensity": 0.25} for item_id in item_ids]
    return msgspec.json.encode({"list_id": list_id, "items": items, "as_of": {"partition": 0}})


@pytest.mark.integration
def test_a_shop_runs_on_a_real_kafka_and_a_real_redis(
    kafka: KafkaBroker, topics: str, redis_url: str
) -> None:
    settings = Settings(
        num_users=400, backfill_hours=0.2, live_sessions_per_s=40.0, num_items=600, hurry=30.0
    )
    with redis.Redis.from_url(redis_url) as client:
        client.set("rec:popular", _list("popular-0", ["s1-i000590", "s1-i000591"]))
        client.set("rec:s1-u00001", _list("0-17", ["s1-i000592", "s1-i000593"]))
        for shopper in range(3, 100, 2):
            client.set(f"rec:s1-u{shopper:05d}", _list("0-18", ["s1-i000594"]))
    seen: list[Progress] = []
    barriers: list[int] = []
    outcome = simulate(
        settings,
        kafka.bootstrap,
        redis_url,
        4.0,
        seen.append,
        barrier=lambda: barriers.append(len(seen)),
        topic_prefix=topics,
    )

    events = list(_records(kafka.bootstrap, f"{topics}events"))
    items = list(_records(kafka.bootstrap, f"{topics}items"))
    assert len(events) + len(items) == outcome.num_events
    list_ids: dict[str, set[str]] = {}
    for partition, key, value in events:
        event = decode_event(value)
        assert partition == partition_of(event.user_id, NUM_PARTITIONS)
        assert key.decode() == event.user_id
        record = msgspec.json.decode(value)
        if record["type"] == "impression":
            list_ids.setdefault(record["list_id"], set()).add(event.user_id)
    assert list_ids["0-18"] <= {f"s1-u{shopper:05d}" for shopper in range(3, 100, 2)}
    assert all(int(user_id[-1]) % 2 == 1 for user_id in list_ids["popular-0"])
    assert outcome.num_personal > 0
    assert outcome.num_popular > 0
    assert outcome.num_missing == 0
    assert outcome.report.control_views > 20
    assert outcome.report.treated_views > 20
    assert [phase for phase in ("backfill", "waiting", "live") if phase in _phases(seen)] == (
        list(dict.fromkeys(_phases(seen)))
    )
    assert seen[-1].fraction == 1.0
    assert len(barriers) >= 3
    assert any("gap closed" in line for line in outcome.lines())


@pytest.mark.integration
def test_a_missing_list_and_an_unreadable_one_are_told_apart(redis_url: str) -> None:
    reader = RecommendationReader(redis_url)
    assert reader.read("u1", 0) is None
    with redis.Redis.from_url(redis_url) as client:
        client.set("rec:u1", b'{"list_id":')
    assert reader.read("u1", 0) is None
    assert (reader.num_absent, reader.num_errors) == (1, 1)
    reader.close()


def test_a_redis_that_is_not_there_costs_the_list_and_not_the_page() -> None:
    reader = RecommendationReader("redis://127.0.0.1:1/0")
    assert reader.read("u1", 0) is None
    assert reader.num_errors == 1
    reader.close()


@pytest.mark.integration
def test_an_event_that_kafka_refuses_ends_the_run_with_its_reason(
    kafka: KafkaBroker, topics: str
) -> None:
    huge = msgspec.structs.replace(_item(), title="x" * 3_000_000)
    with (
        Publisher(kafka.bootstrap, topic_prefix=topics) as publisher,
        pytest.raises(PublishError, match="items"),
    ):
        publisher.send(huge)


def _item() -> CatalogueItem:
    return CatalogueItem(
        item_id="s1-i000001",
        title="An item",
        categories=[],
        attributes={},
        published_at_ms=1,
        available=True,
    )


def _phases(seen: list[Progress]) -> list[str]:
    return [progress.phase for progress in seen]
