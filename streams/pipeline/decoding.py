"""Which records of a slice are events, and which are dead letters?

Pure: the same records give the same events and refusals in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from featurestore.events import Event, EventRefused, check_arrival, decode_event
from featurestore.partition import partitions_of
from streams.engine import Record


class DecodedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event and the record that carried it; a struct costs a third of a named tuple."""

    record: Record
    event: Event


class RefusedRecord(NamedTuple):
    """A record that is no event, and why."""

    record: Record
    refusal: EventRefused


class Decoded(NamedTuple):
    """What a run of records holds, each part in offset order."""

    events: list[DecodedEvent]
    refused: list[RefusedRecord]


def decode(records: Sequence[Record], *, partition: int, num_partitions: int) -> Decoded:
    """Decode and validate records of one partition of `events`.

    Args:
        records: In offset order.
        partition: Where they stood; an event of a user of another partition is refused.
        num_partitions: Of the topic.
    """
    decoded: list[DecodedEvent] = []
    refused: list[RefusedRecord] = []
    for record in records:
        try:
            decoded.append(DecodedEvent(record, decode_event(record.value)))
        except EventRefused as refusal:
            refused.append(RefusedRecord(record, refusal))
    owners = partitions_of([one.event.user_id for one in decoded], num_partitions)
    events: list[DecodedEvent] = []
    for one, owner in zip(decoded, owners, strict=True):
        try:
            check_arrival(
                one.event,
                append_time_ms=one.record.append_ms,
                partition=partition,
                num_partitions=num_partitions,
                owner=owner,
            )
        except EventRefused as refusal:
            refused.append(RefusedRecord(one.record, refusal))
        else:
            events.append(one)
    refused.sort(key=lambda one: one.record.offset)
    return Decoded(events, refused)
