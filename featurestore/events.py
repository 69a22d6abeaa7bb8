"""What an application may tell us: the events on the wire, and why one is refused.

The types below are the contract: `decode_event` accepts exactly what they describe, and the
published JSON Schema (`featurestore.schema`) is generated from them. Fields that we do not know
are ignored, so that a newer producer may add some; a field that we know has its exact type,
nothing is coerced. An incompatible change raises `v`.
"""

import enum
import re
from typing import Annotated, Final, Literal, NewType, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct

from featurestore.errors import FeatureStoreError
from featurestore.partition import partition_of

UserId = NewType("UserId", str)
ItemId = NewType("ItemId", str)

MAX_VALUE_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
MAX_ID_CHARS: Final = 128
MAX_SLATE_ITEMS: Final = 500
MAX_POSITION: Final = 10_000
MAX_TS_MS: Final = (2**32 - 1) * 1000
"""The user state keeps seconds in 32 bits: February 2106."""
MAX_AHEAD_MS: Final = 5 * 60 * 1000
"""How far a clock of an application may run ahead of the broker's."""

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
_UserId = Annotated[UserId, Meta(min_length=1, max_length=MAX_ID_CHARS)]
_ItemId = Annotated[ItemId, Meta(min_length=1, max_length=MAX_ID_CHARS)]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_TsMs = Annotated[int, Meta(ge=1, le=MAX_TS_MS, description="Unix time in milliseconds")]
_Scalar = (
    Annotated[str, Meta(max_length=256)]
    | Annotated[int, Meta(ge=-(2**53), le=2**53)]
    | float
    | bool
    | None
)
Context = Annotated[dict[_Name, _Scalar], Meta(max_length=64)]
Features = Annotated[dict[_Name, float], Meta(max_length=64)]


_T = TypeVar("_T")


class ShownItem(Struct, kw_only=True, frozen=True, gc=False, omit_defaults=True):
    """One item of a slate, where it stood and how likely it was to stand there."""

    item_id: _ItemId
    position: Annotated[int, Meta(ge=1, le=MAX_POSITION, description="1 is the first place")]
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    features: Features | None = None


class _Event(Struct, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag_field="type"):
    """What every event has. `event_id` makes a repeated delivery recognisable."""

    event_id: _Id
    user_id: _UserId
    ts_ms: _TsMs
    session_id: _Id | None = None
    context: Context | None = None
    v: Literal[1] = 1


class Impression(_Event, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="impression"):
    """A user was shown a slate of items."""

    items: Annotated[tuple[ShownItem, ...], Meta(min_length=1, max_length=MAX_SLATE_ITEMS)]
    request_id: _Id | None = None
    list_id: _Id | None = None


class Action(_Event, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="action"):
    """A user did something, mostly to an item; a search or a sort has none.

    `action` is an open set of names: those that the configuration does not know are neutral.
    `value` carries a watch time, price or rating.
    """

    action: _Name
    item_id: _ItemId | None = None
    request_id: _Id | None = None
    list_id: _Id | None = None
    value: float | None = None
    query: Annotated[str, Meta(max_length=1024)] | None = None


class Visit(_Event, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="visit"):
    """A page opens: the user's list is computed anew, nothing is learned."""


Event = Impression | Action | Visit


class CatalogueItem(Struct, kw_only=True, frozen=True, gc=False, omit_defaults=True):
    """What the catalogue says of an item; the newest record of an item replaces the older.

    Withdrawn is `available: false`, never a tombstone: compaction forgets those.
    """

    item_id: _ItemId
    title: Annotated[str, Meta(max_length=1024)] | None = None
    categories: Annotated[tuple[_Name, ...], Meta(max_length=32)] = ()
    attributes: Context | None = None
    published_at_ms: _TsMs | None = None
    available: bool = True
    v: Literal[1] = 1


class RefusalReason(enum.StrEnum):
    """Why a record is no event; closed, because it labels a metric."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_VERSION = "unknown_version"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    FUTURE = "future"
    WRONG_PARTITION = "wrong_partition"


class EventRefused(FeatureStoreError):
    """A record that cannot be taken as an event, with the reason that its dead letter names."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


_events: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_items: Final = msgspec.json.Decoder(CatalogueItem)
_encoder: Final = msgspec.json.Encoder()


def decode_event(value: bytes | None) -> Event:
    """Read one event from a record's value, strictly.

    A pure function of the bytes: the same record is accepted, or refused for the same reason,
    in every process.

    Raises:
        EventRefused: for whatever is not an event, and nothing else.
    """
    return _decode(_events, value)


def decode_item(value: bytes | None) -> CatalogueItem:
    """Read one catalogue record, as strictly as an event.

    Raises:
        EventRefused: also for a tombstone, which says nothing about an item.
    """
    return _decode(_items, value)


def encode_event(event: Event | CatalogueItem) -> bytes:
    """Write the JSON that `decode_event` (or `decode_item`) reads back as an equal value."""
    return _encoder.encode(event)


def check_arrival(
    event: Event,
    *,
    append_time_ms: int | None,
    partition: int,
    num_partitions: int,
    owner: int | None = None,
) -> None:
    """Refuse an event that stands where or when it cannot.

    In another partition than its user's it would give one user two owners. From the future it
    would carry the user's clock, which never goes back, with it.

    Args:
        event: a decoded event.
        append_time_ms: the broker's time of the record; None where there is no broker.
        partition: where the event was read.
        num_partitions: of the topic.
        owner: the partition of the event's user, where the caller knows it already.

    Raises:
        EventRefused: with reason `wrong_partition` or `future`.
    """
    if owner is None:
        owner = partition_of(event.user_id, num_partitions)
    if owner != partition:
        raise EventRefused(
            RefusalReason.WRONG_PARTITION,
            f"found in partition {partition}, its user belongs to {owner} of {num_partitions}; "
            "produce with the murmur2 partitioner and the user_id as key",
        )
    if append_time_ms is not None and event.ts_ms > append_time_ms + MAX_AHEAD_MS:
        raise EventRefused(
            RefusalReason.FUTURE,
            f"ts_ms {event.ts_ms} is {event.ts_ms - append_time_ms} ms after the broker's time, "
            f"at most {MAX_AHEAD_MS} is taken",
        )


def _decode(decoder: "msgspec.json.Decoder[_T]", value: bytes | None) -> _T:
    if not value:
        raise EventRefused(RefusalReason.EMPTY, "the record has no value")
    if len(value) > MAX_VALUE_BYTES:
        raise EventRefused(
            RefusalReason.TOO_LARGE, f"{len(value)} bytes, at most {MAX_VALUE_BYTES} are taken"
        )
    # A value cannot be deeper than it has opening brackets: most are settled by counting.
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise EventRefused(RefusalReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH}")
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise EventRefused(_reason(str(error), value), _clipped(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRefused(RefusalReason.NOT_JSON, _clipped(error)) from error


_OUT_OF_RANGE: Final = re.compile(r"of length [<>]=|^Expected `\w+` [<>]|out of range")


def _reason(message: str, value: bytes) -> RefusalReason:
    """Sort a validation error into the closed set, by the decoder's (tested) wording.

    The version is asked first: under another version every other complaint is a consequence.
    """
    if _version(value) != 1:
        return RefusalReason.UNKNOWN_VERSION
    if message.startswith("Invalid value") and message.endswith("`$.type`"):
        return RefusalReason.UNKNOWN_TYPE
    if message.startswith("Object missing required field"):
        return RefusalReason.MISSING_FIELD
    if _OUT_OF_RANGE.search(message):
        return RefusalReason.OUT_OF_RANGE
    return RefusalReason.WRONG_TYPE


class _Versioned(Struct):
    v: int = 1


_versions: Final = msgspec.json.Decoder(_Versioned)


def _version(value: bytes) -> int:
    try:
        return _versions.decode(value).v
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 1


def _clipped(error: Exception) -> str:
    """The decoder's words; it may quote the value, which may be long."""
    return str(error)[:200]


_BRACKETS: Final = np.zeros(256, np.int8)
_BRACKETS[list(b"[{")] = 1
_BRACKETS[list(b"]}")] = -1
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _depth(value: bytes) -> int:
    """How deep a value nests; brackets inside strings do not count."""
    steps = _BRACKETS[np.frombuffer(_STRING.sub(b"", value), np.uint8)]
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))
