"""A worker on a real Kafka and a real Redis: from an event to a list."""

from pathlib import Path

import redis
from kafka import KafkaProducer

from deploy.stack.broker import KafkaBroker
from featurestore.events import CatalogueItem, Event, ItemId, UserId, encode_event
from featurestore.fold import fold
from featurestore.lists import decode_list
from featurestore.partition import partition_of
from featurestore.state import EMPTY_STATE
from streams.redrive import Redriven, read_dead_letters, redrive
from tests.integration.conftest import NUM_PARTITIONS
from tests.integration.roles import running_worker, until
from tests.integration.stream_checks import (
    RULES,
    assert_examples_tile,
    assert_states_equal,
    folded_log,
    produce,
    produce_items,
)
from tests.streams.stream_events import START_MS, click, shown, visit


def test_states_in_the_store_are_the_fold_of_the_log(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    for number in range(30):
        user_id = f"u{number % 7}"
        at_ms = START_MS + number * 10
        events += [
            visit(user_id, at_ms),
            shown(user_id, at_ms + 1, items=[f"i{number}", f"i{number + 1}"]),
            click(user_id, f"i{number}", at_ms + 2),
        ]
    produce(kafka.bootstrap, f"{topics}events", events)

    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as worker:
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") == len(events),
            what=f"all events processed\n{worker.log()}",
        )

    expected = folded_log(kafka.bootstrap, f"{topics}events")
    assert_states_equal(redis_url, f"{topics}events", NUM_PARTITIONS, expected)
    assert_examples_tile(kafka.bootstrap, f"{topics}examples", f"{topics}events")


def test_with_an_empty_learner_a_click_makes_a_list_from_the_catalogue(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    items = [
        CatalogueItem(
            item_id=ItemId(f"i{number}"),
            published_at_ms=START_MS - number * 1000,
            available=number != 1,
        )
        for number in range(30)
    ]
    produce_items(kafka.bootstrap, f"{topics}items", items)
    produce(kafka.bootstrap, f"{topics}events", [click("u1", "i0", START_MS)])

    with (
        running_worker(
            tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
        ) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):
        until(lambda: client.exists("rec:u1"), what=f"the user's list\n{worker.log()}")
        made = decode_list(client.get("rec:u1"))

    # Neither what was clicked nor what was withdrawn; the newest first.
    assert [item.item_id for item in made.items] == [f"i{number}" for number in range(2, 22)]
    assert {item.source for item in made.items} == {"fresh"}
    assert made.list_id == f"{made.as_of.partition}-{made.as_of.offset}"
    assert made.now_ms == START_MS


def test_what_is_no_event_becomes_a_dead_letter_and_can_be_sent_back(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic, letters_topic = f"{topics}events", f"{topics}events.dead-letters"
    stray = encode_event(click("u1", "i1", START_MS))
    wrong = (partition_of("u1", NUM_PARTITIONS) + 1) % NUM_PARTITIONS
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
    producer.send(events_topic, value=b"{nonsense", key=b"k", partition=0)
    producer.send(events_topic, value=stray, key=b"u1", partition=wrong)
    producer.flush()
    producer.close()

    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as worker:
        until(
            lambda: worker.metric('recsys_events_total{event_type="unknown"') == 2,
            what=f"both refused\n{worker.log()}",
        )
        letters = list(read_dead_letters([kafka.bootstrap], letters_topic))
        assert {letter.reason for letter in letters} == {"not_json", "wrong_partition"}
        assert {(letter.value, letter.key) for letter in letters} == {
            (b"{nonsense", b"k"),
            (stray, b"u1"),
        }
        assert {letter.topic for letter in letters} == {events_topic}

        redriven = redrive_all(kafka.bootstrap, letters_topic, events_topic)
        assert (redriven.num_sent, redriven.refused) == (1, {"not_json": 1})
        until(
            lambda: worker.metric("recsys_redriven_total") == 1,
            what=f"the letter's return\n{worker.log()}",
        )
        assert redrive_all(kafka.bootstrap, letters_topic, events_topic).num_sent == 0

    expected = {
        UserId("u1"): fold(EMPTY_STATE, click("u1", "i1", START_MS), RULES).state,
    }
    assert_states_equal(redis_url, events_topic, NUM_PARTITIONS, expected)
    assert_examples_tile(kafka.bootstrap, f"{topics}examples", events_topic)


def redrive_all(bootstrap: str, letters: str, events: str) -> Redriven:
    return redrive(
        [bootstrap], dead_letters_topic=letters, events_topic=events, now_ms=START_MS + 1
    )
