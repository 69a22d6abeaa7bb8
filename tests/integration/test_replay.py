"""Does an event file reach Kafka whole, in order and where its users live? On a real broker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from deploy.stack.broker import KafkaBroker
from featurestore.events import CatalogueItem, ItemId, UserId, Visit, decode_event, decode_item
from featurestore.partition import partition_of
from streams.engine import read_to_end
from streams.event_file import EventFileError, write_events
from streams.replay import Pace, ReplayFailed, replay, send_items
from tests.streams.engine.log import new_topic

pytestmark = pytest.mark.integration
NUM_EVENTS = 5_000


class Stopped(Exception):
    """Stands for whatever interrupts a replay."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_events(
        tmp_path / "events.jsonl.gz",
        (
            Visit(event_id=f"e{n}", user_id=UserId(f"u{n % 97}"), ts_ms=1_000 + n)
            for n in range(NUM_EVENTS)
        ),
    )
    return tmp_path / "events.jsonl.gz"


def events_by_user(bootstrap: str, topic: str, num_partitions: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    tps = [TopicPartition(topic, number) for number in range(num_partitions)]
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        consumer.assign(tps)
        consumer.seek_to_beginning(*tps)
        ends = consumer.end_offsets(tps)
        while any(consumer.position(tp) < ends[tp] for tp in tps):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    event = decode_event(record.value)
                    assert record.key == event.user_id.encode()
                    assert record.partition == partition_of(event.user_id, num_partitions)
                    found[event.user_id].append(event.event_id)
    finally:
        consumer.close()
    return found


def expected() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for n in range(NUM_EVENTS):
        found[f"u{n % 97}"].append(f"e{n}")
    return found


def test_every_event_arrives_in_its_users_order(kafka: KafkaBroker, path: Path) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=3)
    done = replay(path, [kafka.bootstrap], topic)

    assert (done.num_sent, done.num_skipped) == (NUM_EVENTS, 0)
    assert events_by_user(kafka.bootstrap, topic, 3) == expected()


def test_an_interrupted_replay_goes_on_where_it_stopped(kafka: KafkaBroker, path: Path) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=2)
    resume = path.with_name("resume")

    def stop(num_done: int) -> None:
        if num_done >= 3_000:
            raise Stopped

    with pytest.raises(Stopped):
        replay(path, [kafka.bootstrap], topic, resume=resume, on_progress=stop)
    done = replay(path, [kafka.bootstrap], topic, resume=resume)

    assert (done.num_sent, done.num_skipped) == (2_000, 3_000)
    assert events_by_user(kafka.bootstrap, topic, 2) == expected()
    assert not resume.exists()


def test_at_a_barrier_everything_before_it_is_in_the_log(kafka: KafkaBroker, path: Path) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=2)
    seen: list[tuple[int, int]] = []

    def barrier(event_ms: int) -> None:
        users = events_by_user(kafka.bootstrap, topic, 2)
        seen.append((event_ms, sum(map(len, users.values()))))

    replay(path, [kafka.bootstrap], topic, pace=Pace(barrier=barrier, barrier_interval_ms=2_000))

    assert seen == [(3_000, 2_000), (5_000, 4_000), (5_999, NUM_EVENTS)]


def test_a_missing_topic_is_reported(kafka: KafkaBroker, path: Path) -> None:
    with pytest.raises(ReplayFailed, match="topic 'nowhere'"):
        replay(path, [kafka.bootstrap], "nowhere", ack_s=3.0)


def test_a_catalogue_arrives_by_item_its_newest_records_alone(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    items = [
        CatalogueItem(item_id=ItemId(f"i{number % 1_500}"), title=f"title {number}")
        for number in range(2_000)
    ]
    write_events(tmp_path / "items.jsonl", items)
    topic = new_topic(kafka.bootstrap, num_partitions=2)

    assert send_items(tmp_path / "items.jsonl", [kafka.bootstrap], topic) == 1_500
    records = asyncio.run(read_to_end([kafka.bootstrap], topic))
    found = {record.key: decode_item(record.value or b"") for record in records}
    assert len(records) == 1_500
    assert found == {item.item_id.encode(): item for item in items}


def test_what_is_no_catalogue_is_not_sent(kafka: KafkaBroker, path: Path) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=1)

    with pytest.raises(EventFileError, match="no record of an item"):
        send_items(path, [kafka.bootstrap], topic)
    assert asyncio.run(read_to_end([kafka.bootstrap], topic)) == []
