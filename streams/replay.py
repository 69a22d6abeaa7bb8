"""How does an event file get into Kafka, at what pace, and from where after an interruption?

Events are sent as they stand in the file, keyed by their user, through the default partitioner. The
resume file names the line up to which the broker has acknowledged everything; after a crash at most
`BATCH_EVENTS` events are sent once more, which their event_ids make harmless. What a catalogue says
of the items can be sent before them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.producer.future import FutureRecordMetadata

from featurestore.events import encode_event
from streams.errors import StreamsError
from streams.event_file import EventFileError, read_values
from streams.item_log import read_items

BATCH_EVENTS: Final = 1_000
"""Events sent between two acknowledgements that are waited for."""

_PACE_S: Final = 0.05


class ReplayFailed(StreamsError):
    """The broker did not take a record; the resume file names which events it has taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast events are sent.

    Attributes:
        speed: Event time per wall time; None for as fast as the broker takes them.
        barrier: Called with the event time in ms reached, when everything up to it has been
            acknowledged; the replay goes on when it returns.
        barrier_interval_ms: Event time between two calls of `barrier`.
    """

    speed: float | None = None
    barrier: Callable[[int], None] | None = None
    barrier_interval_ms: int = 300_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What was done.

    Attributes:
        num_sent: Events sent and acknowledged now.
        num_skipped: Events that an earlier, interrupted replay had sent.
    """

    num_sent: int
    num_skipped: int


class _Head(msgspec.Struct, frozen=True, gc=False):
    """What sending needs to know of an event; everything else is the worker's business."""

    user_id: str
    ts_ms: int


class _Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of a resume file."""

    file_bytes: int
    topic: str
    num_acknowledged: int


_head_decoder: Final = msgspec.json.Decoder(_Head)


def replay(
    path: Path,
    brokers: Sequence[str],
    topic: str,
    *,
    pace: Pace | None = None,
    resume: Path | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
    ack_s: float = 120.0,
) -> Replayed:
    """Send the events of a file, in its order.

    Args:
        path: JSON lines, perhaps gzipped.
        brokers: Addresses, `host:port`.
        topic: Where they go.
        pace: How fast; flat out by default.
        resume: File to keep the progress in; an existing one is gone on from, and it is removed at
            the end.
        on_progress: Told, after each acknowledged batch, how many events of the file are done.
        ack_s: Longest wait for the broker.

    Raises:
        EventFileError: The file is not readable, or not the one that was begun.
        ReplayFailed: The broker did not take an event in time.
    """
    pace = pace or Pace()
    num_skipped = _num_done(resume, path, topic)
    num_done = num_skipped
    events = islice(_events(path), num_skipped, None)
    with closing(_producer(brokers, ack_s)) as producer:
        for batch in _paced(events, pace, time.monotonic, time.sleep):
            records = [(head.user_id, value) for head, value in batch.events]
            _send(producer, topic, records, ack_s)
            num_done += len(batch.events)
            _keep(resume, path, topic, num_done)
            on_progress(num_done)
            if pace.barrier is not None and batch.barrier_ms is not None:
                pace.barrier(batch.barrier_ms)
    if resume is not None:
        resume.unlink(missing_ok=True)
    return Replayed(num_sent=num_done - num_skipped, num_skipped=num_skipped)


def send_items(path: Path, brokers: Sequence[str], topic: str, *, ack_s: float = 120.0) -> int:
    """Send the newest record of each item of a catalogue, keyed by item; return how many.

    Sending them again changes nothing: the newest record of an item counts.

    Args:
        path: JSON lines, perhaps gzipped.
        brokers: Addresses, `host:port`.
        topic: Where they go.
        ack_s: Longest wait for the broker.

    Raises:
        EventFileError: The file is not readable, or a line is no record of an item.
        ReplayFailed: The broker did not take a record in time.
    """
    records = [(item.item_id, encode_event(item)) for item in read_items(path)]
    with closing(_producer(brokers, ack_s)) as producer:
        for start in range(0, len(records), BATCH_EVENTS):
            _send(producer, topic, records[start : start + BATCH_EVENTS], ack_s)
    return len(records)


@dataclass(frozen=True, slots=True)
class _Batch:
    events: list[tuple[_Head, bytes]]
    barrier_ms: int | None


def _paced(
    events: Iterator[tuple[_Head, bytes]],
    pace: Pace,
    monotonic_s: Callable[[], float],
    sleep: Callable[[float], object],
) -> Iterator[_Batch]:
    """Cut events into batches that are due, waiting before those that are not yet.

    A batch ends where it is full, where a barrier is due, and where the log's own pace has a pause.
    """
    batch: list[tuple[_Head, bytes]] = []
    start_s, start_ms, barrier_ms = monotonic_s(), -1, -1
    for head, value in events:
        if start_ms < 0:
            start_ms, barrier_ms = head.ts_ms, head.ts_ms + pace.barrier_interval_ms
        at_barrier = pace.barrier is not None and head.ts_ms >= barrier_ms
        wait_s = _due_s(pace, start_ms, head.ts_ms) - (monotonic_s() - start_s)
        if batch and (at_barrier or wait_s > _PACE_S or len(batch) >= BATCH_EVENTS):
            yield _Batch(batch, head.ts_ms if at_barrier else None)
            batch = []
        if at_barrier:
            barrier_ms = head.ts_ms + pace.barrier_interval_ms
        wait_s = _due_s(pace, start_ms, head.ts_ms) - (monotonic_s() - start_s)
        if wait_s > _PACE_S:
            sleep(wait_s)
        batch.append((head, value))
    if batch:
        yield _Batch(batch, batch[-1][0].ts_ms)


def _due_s(pace: Pace, start_ms: int, ts_ms: int) -> float:
    return 0.0 if pace.speed is None else (ts_ms - start_ms) / 1000 / pace.speed


def _events(path: Path) -> Iterator[tuple[_Head, bytes]]:
    for number, value in enumerate(read_values(path), start=1):
        try:
            head = _head_decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EventFileError(
                f"{path}: event {number} has no readable user_id and ts_ms ({error}); expected one "
                "event of docs/events.md a line: repair or remove it"
            ) from error
        yield head, value


def _send(
    producer: KafkaProducer, topic: str, records: Sequence[tuple[str, bytes]], ack_s: float
) -> None:
    """Send keys and values, and wait until the broker has all."""
    try:
        futures: list[FutureRecordMetadata] = [
            producer.send(topic, key=key.encode(), value=value) for key, value in records
        ]
        producer.flush(timeout=ack_s)
        for future in futures:
            future.get(timeout=ack_s)
    except KafkaError as error:
        raise ReplayFailed(
            f"Kafka did not take what was sent ({error}); expected an acknowledgement within "
            f"{ack_s:.0f} s. See that the broker and topic {topic!r} are there and replay with "
            "the same resume file"
        ) from error


def _producer(brokers: Sequence[str], ack_s: float) -> KafkaProducer:
    # Idempotent, so that a retry neither repeats nor reorders a user's events.
    return KafkaProducer(
        bootstrap_servers=list(brokers),
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_block_ms=int(ack_s * 1000),
    )


def _num_done(resume: Path | None, path: Path, topic: str) -> int:
    if resume is None or not resume.exists():
        return 0
    try:
        found = msgspec.json.decode(resume.read_bytes(), type=_Resume)
    except msgspec.DecodeError as error:
        raise EventFileError(
            f"{resume}: {error}; expected the progress of an earlier replay: remove it to begin "
            "anew"
        ) from error
    if (found.file_bytes, found.topic) != (path.stat().st_size, topic):
        raise EventFileError(
            f"{resume} belongs to a file of {found.file_bytes} bytes for topic {found.topic!r}, "
            f"found {path.stat().st_size} bytes for {topic!r}: remove it to begin anew"
        )
    return found.num_acknowledged


def _keep(resume: Path | None, path: Path, topic: str, num_done: int) -> None:
    if resume is None:
        return
    unfinished = resume.with_name(f"{resume.name}.unfinished")
    progress = _Resume(file_bytes=path.stat().st_size, topic=topic, num_acknowledged=num_done)
    unfinished.write_bytes(msgspec.json.encode(progress))
    unfinished.replace(resume)
