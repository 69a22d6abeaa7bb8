"""What is no event passes through a real broker and a real worker: kept, counted, sent back."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaProducer
from kafka.producer.future import FutureRecordMetadata

from deploy.stack.broker import KafkaBroker
from deploy.stack.topics import TopicLayout, create_topics
from featurestore.events import MAX_AHEAD_MS, RefusalReason, UserId, decode_event, encode_event
from featurestore.fold import fold
from featurestore.state import EMPTY_STATE, UserState
from streams.redrive import read_dead_letters, redrive
from tests.chaos.event_log import shop_log
from tests.chaos.scale import scaled
from tests.featurestore.malformed import NUM_PARTITIONS, MalformedRecord, malformed_records
from tests.integration.roles import running_worker, until
from tests.integration.stream_checks import (
    RULES,
    assert_examples_tile,
    assert_states_equal,
    values_of,
)

pytestmark = pytest.mark.slow

NUM_RECORDS: Final = scaled(3_000)
MAX_HUGE: Final = 300
"""No more of the huge records, so that the largest run does not fill the disk."""
RECORDS_PER_EVENT: Final = 5
AHEAD_MS: Final = 20_000
"""So far beyond what is allowed is a record from the future, when it is sent."""
DEADLINE_S: Final = 60 + NUM_RECORDS / 100

KEY: Final = b"whose"

Place = tuple[int, int]
"""Partition and offset."""


def test_every_malformed_record_is_kept_with_its_reason_and_returns_once_it_is_an_event(
    kafka: KafkaBroker, redis_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    create_topics(kafka.bootstrap, TopicLayout(num_partitions=NUM_PARTITIONS, prefix=topic_prefix))
    events, letters = f"{topic_prefix}events", f"{topic_prefix}events.dead-letters"
    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topic_prefix
    ) as worker:
        sent, num_events = send_records(kafka.bootstrap, events)
        reasons = Counter(str(record.reason) for record in sent.values())
        assert set(reasons) == set(RefusalReason)
        until(
            lambda: (
                worker.metric('recsys_events_total{event_type="unknown",outcome="invalid"')
                == len(sent)
                and worker.metric("recsys_freshness_seconds_count") == num_events
            ),
            what=f"everything processed\n{worker.log()}",
            deadline_s=DEADLINE_S,
        )
        for reason, number in reasons.items():
            sample = f'recsys_dead_letters_total{{reason="{reason}",topic="events"}}'
            assert (reason, worker.metric(sample)) == (reason, number)
        kept = list(read_dead_letters([kafka.bootstrap], letters))
        assert {(letter.topic, letter.key) for letter in kept} == {(events, KEY)}
        originals = {
            (letter.partition, letter.offset): MalformedRecord(
                letter.value, letter.partition, RefusalReason(letter.reason)
            )
            for letter in kept
        }
        assert len(originals) == len(sent)
        assert [place for place, record in sent.items() if originals.get(place) != record] == []

        coming = {RefusalReason.WRONG_PARTITION, RefusalReason.FUTURE}
        num_coming = sum(reasons[reason] for reason in coming)
        redriven = redrive(
            [kafka.bootstrap],
            dead_letters_topic=letters,
            events_topic=events,
            now_ms=once_present(sent),
        )
        assert redriven.num_sent == num_coming
        assert redriven.refused == {r: n for r, n in reasons.items() if r not in coming}
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") == num_events + num_coming,
            what=f"the letters' return\n{worker.log()}",
            deadline_s=DEADLINE_S,
        )
        assert worker.metric("recsys_redriven_total") == num_coming
        assert worker.stop() == 0

    assert_states_equal(
        redis_url, events, NUM_PARTITIONS, folded_but_for(kafka.bootstrap, events, sent)
    )
    assert_examples_tile(kafka.bootstrap, f"{topic_prefix}examples", events)


def send_records(bootstrap: str, topic: str) -> tuple[dict[Place, MalformedRecord], int]:
    """Send malformed records, with events between them; return where the former stand.

    Returns:
        The malformed records by place, and the number of events.
    """
    events = shop_log(NUM_RECORDS // RECORDS_PER_EVENT)
    sent: list[tuple[FutureRecordMetadata, MalformedRecord]] = []
    with closing(
        KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5, compression_type="gzip")
    ) as producer:
        for number, record in enumerate(sendable_records()):
            # Without a key the client sends no record that has no value.
            future = producer.send(topic, key=KEY, value=record.value, partition=record.partition)
            sent.append((future, record))
            if number < len(events):
                event = events[number]
                producer.send(topic, key=event.user_id.encode(), value=encode_event(event))
        producer.flush()
    places = [(future.get(timeout=10), record) for future, record in sent]
    return {(place.partition, place.offset): record for place, record in places}, len(events)


def sendable_records() -> Iterator[MalformedRecord]:
    """The records of the pure test, as far as a broker that gives the time can carry them."""
    num_huge = 0
    for record in malformed_records(NUM_RECORDS, seed=11):
        if record.reason is RefusalReason.TOO_LARGE:
            num_huge += 1
            if num_huge > MAX_HUGE:
                continue
        if record.reason is RefusalReason.FUTURE:
            ts_ms = time.time_ns() // 1_000_000 + MAX_AHEAD_MS + AHEAD_MS
            yield record._replace(value=_at(record, ts_ms))
        else:
            yield record


def _at(record: MalformedRecord, ts_ms: int) -> bytes:
    return json.dumps({**json.loads(record.value or b""), "ts_ms": ts_ms}).encode()


def once_present(sent: dict[Place, MalformedRecord]) -> int:
    """Wait until no record is from the future any more; return the time, in ms."""
    latest_ms = max(
        json.loads(record.value or b"")["ts_ms"]
        for record in sent.values()
        if record.reason is RefusalReason.FUTURE
    )
    until(lambda: time.time() * 1000 > latest_ms - MAX_AHEAD_MS, what="the present")
    return time.time_ns() // 1_000_000


def folded_but_for(
    bootstrap: str, topic: str, refused: dict[Place, MalformedRecord]
) -> dict[UserId, UserState]:
    """The state of every user, folded from what the log holds at all other places."""
    states: dict[UserId, UserState] = {}
    for partition, values in values_of(bootstrap, topic).items():
        for offset, value in enumerate(values):
            if (partition, offset) not in refused:
                event = decode_event(value)
                state = states.get(event.user_id, EMPTY_STATE)
                states[event.user_id] = fold(state, event, RULES).state
    return states
