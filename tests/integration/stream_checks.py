"""What must hold between the log, the examples and the store, whatever happened in between."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.codec import encode_state
from featurestore.events import (
    CatalogueItem,
    Event,
    EventRefused,
    UserId,
    decode_event,
    encode_event,
)
from featurestore.fold import FoldRules, fold
from featurestore.keys import state_key
from featurestore.partition import partition_of
from featurestore.state import EMPTY_STATE, UserState
from streams.examples import ExamplesRecord, decode_record, tail_of

RULES = FoldRules(table=ActionTable.of(DEFAULT_ACTIONS))
_POLL_MS = 300
_BURST = 20
_EVENTS_PER_S = 400


def produce(bootstrap: str, topic: str, events: Iterable[Event]) -> None:
    """Append events, keyed by their user."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    for event in events:
        producer.send(topic, key=event.user_id.encode(), value=encode_event(event))
    producer.flush()
    producer.close()


@contextmanager
def producing(bootstrap: str, topic: str, events: Iterable[Event]) -> Iterator[None]:
    """Append events, a few hundred a second, for as long as the block runs."""
    stopped = threading.Event()

    def run() -> None:
        producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
        for number, event in enumerate(events):
            producer.send(topic, key=event.user_id.encode(), value=encode_event(event))
            if number % _BURST == 0 and stopped.wait(_BURST / _EVENTS_PER_S):
                break
        producer.flush()
        producer.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def produce_items(bootstrap: str, topic: str, items: Iterable[CatalogueItem]) -> None:
    """Append records of the catalogue, keyed by their item."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    for item in items:
        producer.send(topic, key=item.item_id.encode(), value=encode_event(item))
    producer.flush()
    producer.close()


def values_of(bootstrap: str, topic: str) -> dict[int, list[bytes | None]]:
    """All values of a topic, by partition and in offset order."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        values: dict[int, list[bytes | None]] = {tp.partition: [] for tp in partitions}
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
                values[tp.partition] += [record.value for record in records]
    finally:
        consumer.close()
    return values


def folded_log(bootstrap: str, topic: str) -> dict[UserId, UserState]:
    """The state of every user, folded from the log without worker, store or chunks."""
    states: dict[UserId, UserState] = {}
    for values in values_of(bootstrap, topic).values():
        for value in values:
            try:
                event = decode_event(value)
            except EventRefused:
                continue
            state = states.get(event.user_id, EMPTY_STATE)
            states[event.user_id] = fold(state, event, RULES).state
    return states


def assert_states_equal(
    redis_url: str, topic: str, num_partitions: int, expected: dict[UserId, UserState]
) -> None:
    """Every user's state in the store is the expected one, byte for byte, and there is no other."""
    with redis.Redis.from_url(redis_url) as client:
        keys = {
            state_key(topic, partition_of(user_id, num_partitions), user_id): state
            for user_id, state in expected.items()
        }
        assert set(client.keys(b"us:{%b-*" % topic.encode())) == set(keys)
        wrong = [key for key, state in keys.items() if client.get(key) != encode_state(state)]
        assert wrong == []


def taken_once(records: Sequence[ExamplesRecord]) -> dict[int, list[ExamplesRecord]]:
    """What a learner keeps of the records, by partition; fails on a gap."""
    kept: dict[int, list[ExamplesRecord]] = {}
    for record in records:
        taken = kept.setdefault(record.partition, [])
        next_offset = taken[-1].to_offset if taken else record.from_offset
        if record.to_offset <= next_offset:
            continue
        assert record.from_offset <= next_offset, f"gap before {record.from_offset}: {next_offset}"
        taken.append(tail_of(record, next_offset))
    return kept


def assert_examples_tile(bootstrap: str, examples: str, events: str) -> None:
    """Every source offset stands in the examples, after the learner's dedupe exactly once."""
    (values,) = values_of(bootstrap, examples).values()
    kept = taken_once([decode_record(value or b"") for value in values])
    for partition, source in values_of(bootstrap, events).items():
        records = kept.get(partition, [])
        assert (records[-1].to_offset if records else 0) == len(source)
        offsets = [row.offset for record in records for row in record.rows]
        assert len(offsets) == len(set(offsets))
