"""Decoding a slice: nothing is dropped, and a refusal never stops its neighbours."""

from featurestore.events import RefusalReason, encode_event
from featurestore.partition import partition_of
from streams.engine import Record
from streams.pipeline.decoding import decode
from tests.streams.stream_events import click, visit

NUM_PARTITIONS = 4
APPEND_MS = 1_700_000_000_000


def record(offset: int, value: bytes | None) -> Record:
    return Record(offset=offset, key=None, value=value, append_ms=APPEND_MS)


def visit_of(user_id: str, ts_ms: int = APPEND_MS) -> bytes:
    return encode_event(visit(user_id, ts_ms))


def test_every_record_is_an_event_or_refused_and_order_is_kept() -> None:
    home = partition_of("u1", NUM_PARTITIONS)
    stranger = next(
        name for name in ("u2", "u3", "u4") if partition_of(name, NUM_PARTITIONS) != home
    )
    records = [
        record(10, visit_of("u1")),
        record(11, b"{"),
        record(12, None),
        record(13, visit_of(stranger)),
        record(14, visit_of("u1", APPEND_MS + 5 * 60 * 1000 + 1)),
        record(17, visit_of("u1", APPEND_MS + 5 * 60 * 1000)),
    ]

    decoded = decode(records, partition=home, num_partitions=NUM_PARTITIONS)

    assert [event.record.offset for event in decoded.events] == [10, 17]
    assert [(one.record.offset, one.refusal.reason) for one in decoded.refused] == [
        (11, RefusalReason.NOT_JSON),
        (12, RefusalReason.EMPTY),
        (13, RefusalReason.WRONG_PARTITION),
        (14, RefusalReason.FUTURE),
    ]


def test_the_partition_check_is_of_the_user_and_not_of_the_record_key() -> None:
    home = partition_of("u1", NUM_PARTITIONS)
    action = click("u1", "i", APPEND_MS)
    keyed_wrongly = Record(
        offset=0, key=b"something else", value=encode_event(action), append_ms=APPEND_MS
    )

    decoded = decode([keyed_wrongly], partition=home, num_partitions=NUM_PARTITIONS)

    assert [event.event for event in decoded.events] == [action]
