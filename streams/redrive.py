"""Which dead letters are there, and how do those that are events by now return to the stream?

Blocking functions for the command line, on kafka-python. A letter returns keyed by its user,
through the default partitioner, with a header that names the letter. How far the letters have been
gone through is kept as the offset of the consumer group `GROUP`, committed after the broker has
acknowledged what was sent; a crash in between sends some again, which their event_id makes
harmless. Letters that are still no events are counted and left behind; `again=True` goes through
all from the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.producer.future import FutureRecordMetadata
from kafka.structs import OffsetAndMetadata

from featurestore.events import EventRefused, UserId, check_arrival, decode_event
from featurestore.partition import partition_of
from streams.dead_letters import REDRIVEN, DeadLetter, DeadLetterCorrupt, read_dead_letter
from streams.errors import StreamsError

GROUP: Final = "headrace-redrive"
NOT_OURS: Final = "not_ours"
"""Counts records of the topic that no worker wrote."""

_POLL_MS: Final = 500
_BATCH: Final = 500
_ACK_S: Final = 60


class TopicMissing(StreamsError):
    """The topic does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What became of the letters.

    Attributes:
        num_sent: Letters that went back as events.
        refused: Letters that are still no events, by reason.
    """

    num_sent: int
    refused: Mapping[str, int]


def read_dead_letters(brokers: Sequence[str], topic: str) -> Iterator[DeadLetter]:
    """Yield every letter that the topic has now, once, partition after partition.

    Raises:
        TopicMissing: There is no such topic.
    """
    seen: set[tuple[str, int, int]] = set()
    with closing(_consumer(brokers)) as consumer:
        partitions = _partitions(consumer, topic)
        starts = consumer.beginning_offsets(partitions)
        for record in _records(consumer, partitions, starts):
            letter = _letter(record)
            if letter is not None and letter.identity not in seen:
                seen.add(letter.identity)
                yield letter


def redrive(
    brokers: Sequence[str],
    *,
    dead_letters_topic: str,
    events_topic: str,
    now_ms: int,
    again: bool = False,
) -> Redriven:
    """Send back every letter that is an event by now.

    Args:
        brokers: Addresses.
        dead_letters_topic: Where the letters are.
        events_topic: Where they go.
        now_ms: The wall clock, for events that came from the future.
        again: From the first letter, not from where the last redrive ended.

    Raises:
        TopicMissing: One of the topics does not exist.
        KafkaError: The broker did not take an event; nothing after it was sent.
    """
    refused: Counter[str] = Counter()
    num_sent = 0
    with closing(_consumer(brokers)) as consumer, closing(_producer(brokers)) as producer:
        partitions = _partitions(consumer, dead_letters_topic)
        num_partitions = len(_partitions(consumer, events_topic))
        starts = _starts(consumer, partitions, again=again)
        batch: list[FutureRecordMetadata] = []
        for record in _records(consumer, partitions, starts):
            try:
                user_id = _user_of(record, now_ms, num_partitions)
            except EventRefused as error:
                refused[error.reason] += 1
            except DeadLetterCorrupt:
                refused[NOT_OURS] += 1
            else:
                batch.append(_send(producer, events_topic, user_id, record))
                num_sent += 1
            if len(batch) >= _BATCH:
                _acknowledged(producer, batch)
        _acknowledged(producer, batch)
        ends = consumer.end_offsets(partitions)
        consumer.commit({tp: OffsetAndMetadata(end, "", -1) for tp, end in ends.items()})
    return Redriven(num_sent=num_sent, refused=dict(refused))


def _user_of(record: ConsumerRecord, now_ms: int, num_partitions: int) -> UserId:
    """The user to whose partition the letter's event belongs, if it is an event by now."""
    letter = read_dead_letter(record.key, record.value, record.headers)
    event = decode_event(letter.value)
    check_arrival(
        event,
        append_time_ms=now_ms,
        partition=partition_of(event.user_id, num_partitions),
        num_partitions=num_partitions,
    )
    return event.user_id


def _send(
    producer: KafkaProducer, topic: str, user_id: UserId, record: ConsumerRecord
) -> FutureRecordMetadata:
    origin = f"{record.partition}-{record.offset}".encode()
    return producer.send(
        topic,
        key=user_id.encode(),
        value=record.value,
        headers=[(REDRIVEN, origin)],
    )


def _acknowledged(producer: KafkaProducer, batch: list[FutureRecordMetadata]) -> None:
    producer.flush(timeout=_ACK_S)
    for future in batch:
        future.get(timeout=_ACK_S)
    batch.clear()


def _letter(record: ConsumerRecord) -> DeadLetter | None:
    try:
        return read_dead_letter(record.key, record.value, record.headers)
    except DeadLetterCorrupt:
        return None


def _consumer(brokers: Sequence[str]) -> KafkaConsumer:
    return KafkaConsumer(bootstrap_servers=list(brokers), group_id=GROUP, enable_auto_commit=False)


def _producer(brokers: Sequence[str]) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=list(brokers), acks="all", linger_ms=5)


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise TopicMissing(f"topic {topic!r} does not exist; create the topics: `headrace up` does")
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _starts(
    consumer: KafkaConsumer, partitions: Sequence[TopicPartition], *, again: bool
) -> dict[TopicPartition, int]:
    starts = consumer.beginning_offsets(partitions)
    if again:
        return dict(starts)
    return {tp: max(start, consumer.committed(tp) or 0) for tp, start in starts.items()}


def _records(
    consumer: KafkaConsumer,
    partitions: Sequence[TopicPartition],
    starts: Mapping[TopicPartition, int],
) -> Iterator[ConsumerRecord]:
    """Yield what stands between the starts and the ends that the logs have now."""
    ends = consumer.end_offsets(list(partitions))
    consumer.assign(list(partitions))
    for tp, start in starts.items():
        consumer.seek(tp, start)
    left = {tp for tp in partitions if starts[tp] < ends[tp]}
    while left:
        for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
            yield from (record for record in records if record.offset < ends[tp])
        left = {tp for tp in left if consumer.position(tp) < ends[tp]}
