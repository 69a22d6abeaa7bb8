"""A worker on a real Kafka and a real Redis: from an event to a list."""

from pathlib import Path

import pytest
import redis
from kafka import KafkaProducer

from deploy.stack.broker import KafkaBroker
from deploy.stack.topics import TopicLayout, create_topics
from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.codec import encode_state
from featurestore.events import Event, encode_event
from featurestore.keys import state_key
from featurestore.partition import partition_of
from featurestore.state import FoldRules
from streams.decoding import DecodedEvent
from streams.folding import fold_chunk
from tests.integration.roles import running_worker, until
from tests.streams.stream_events import START_MS, click, records_of, shown, visit

NUM_PARTITIONS = 4


def produce(bootstrap: str, topic: str, events: list[Event]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    for event in events:
        producer.send(topic, key=event.user_id.encode(), value=encode_event(event))
    producer.flush()
    producer.close()


@pytest.fixture
def topics(kafka: KafkaBroker, topic_prefix: str) -> str:
    create_topics(kafka.bootstrap, TopicLayout(num_partitions=NUM_PARTITIONS, prefix=topic_prefix))
    return topic_prefix


def test_states_in_the_store_are_the_fold_of_the_log(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    for number in range(30):
        user_id = f"u{number % 7}"
        events += [
            visit(user_id, START_MS + number * 10),
            shown(user_id, START_MS + number * 10 + 1, items=[f"i{number}", f"i{number + 1}"]),
            click(user_id, f"i{number}", START_MS + number * 10 + 2),
        ]
    produce(kafka.bootstrap, f"{topics}events", events)

    with (
        running_worker(
            tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
        ) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") == len(events),
            what=f"all events processed\n{worker.log()}",
        )
        rules = FoldRules(table=ActionTable.of(DEFAULT_ACTIONS))
        expected = fold_chunk(
            [
                DecodedEvent(record, event)
                for record, event in zip(records_of(*events), events, strict=True)
            ],
            {},
            rules,
        ).states
        for user_id, state in expected.items():
            partition = partition_of(user_id, NUM_PARTITIONS)
            key = state_key(f"{topics}events", partition, user_id)
            assert client.get(key) == encode_state(state)
