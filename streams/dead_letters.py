"""How is a record that is no event kept, so that nothing is lost and it can be sent again?

A dead letter is a record with the original's key, value and headers, and headers of ours that say
why and from where. After a crash the same original may be there twice; its source topic, partition
and offset identify it. Pure; `streams.redrive` reads and sends them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from featurestore.events import EventRefused
from streams.engine import OutgoingRecord, Record
from streams.errors import StreamsError

HEADER_PREFIX: Final = "headrace."
REASON: Final = "headrace.reason"
DETAIL: Final = "headrace.detail"
TOPIC: Final = "headrace.topic"
PARTITION: Final = "headrace.partition"
OFFSET: Final = "headrace.offset"
APPEND_MS: Final = "headrace.append-ms"
REDRIVEN: Final = "headrace.redriven-from"
"""Header of an event that came back: partition and offset of its dead letter."""


class DeadLetterCorrupt(StreamsError, ValueError):
    """A record of the dead-letter topic was not written by us: our headers are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A refused record.

    Attributes:
        reason: One of `featurestore.events.RefusalReason`, as text.
        detail: What was found and expected.
        topic: Where the original stood; with partition and offset its identity.
        append_ms: When the broker took the original.
        value: The original's bytes, None for a record without a value.
    """

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes | None

    @property
    def identity(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the original."""
        return self.topic, self.partition, self.offset


def dead_letter_of(
    record: Record, refusal: EventRefused, *, topic: str, partition: int
) -> OutgoingRecord:
    """Return the record to append to the dead-letter topic.

    Args:
        record: What was refused.
        refusal: Why.
        topic: Where it was read.
        partition: The same.
    """
    ours = {
        REASON: str(refusal.reason),
        DETAIL: refusal.detail,
        TOPIC: topic,
        PARTITION: str(partition),
        OFFSET: str(record.offset),
        APPEND_MS: str(record.append_ms),
    }
    headers = tuple((name, value.encode()) for name, value in ours.items())
    return OutgoingRecord(key=record.key, value=record.value, headers=headers + record.headers)


def read_dead_letter(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]
) -> DeadLetter:
    """Return the dead letter that a record is.

    Raises:
        DeadLetterCorrupt: A header of ours is missing or unreadable.
    """
    # An original's own headers follow ours, so the first of a name is ours.
    found: dict[str, bytes] = {}
    for name, header in headers:
        found.setdefault(name, header)
    try:
        return DeadLetter(
            reason=found[REASON].decode(),
            detail=found[DETAIL].decode(),
            topic=found[TOPIC].decode(),
            partition=int(found[PARTITION]),
            offset=int(found[OFFSET]),
            append_ms=int(found[APPEND_MS]),
            key=key,
            value=value,
        )
    except (KeyError, ValueError) as error:
        raise DeadLetterCorrupt(
            f"a record of the dead-letter topic lacks our headers or has others ({error!r}); "
            "expected what a worker writes: let nothing else produce to that topic"
        ) from error


def is_redriven(record: Record) -> bool:
    """Whether the event came back from the dead letters."""
    return any(name == REDRIVEN for name, _ in record.headers)
