"""What does one record of the `examples` log hold?

The worker writes one `ExamplesRecord` per chunk of one source partition, also when the chunk has no
rows, so that the records of a partition tile its offsets: [from_offset, to_offset) without a gap.
The learner and the trainer read nothing else. Features inside were computed once, when the event
was consumed, on the user state just before it and on the replica that the worker then held; nobody
recomputes them (train = serve).

The encoding is MessagePack with positional fields. Items are named once per record, in `items`;
rows refer to them by index. Matrices travel as little-endian bytes in row-major order.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

EXAMPLES_VERSION: Final = 1
NO_ITEM: Final = -1


class ExamplesCorrupt(ValueError):
    """A record of `examples` cannot be read: it is no row of ours, or of another version."""


class ImpressionRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="i", gc=False):
    """One slate that was shown, featured on the user state just before it.

    `relevance` is int32[N, R] and `examination` int32[N, E]: indices into the click head's weights.
    `choice` is int32[N, C], indices into the choice head's cells, and `pull` what weights their
    last columns; empty and 0 where that head is not in use. `rerank` is float32[N, F], the
    re-ranker's inputs. `uncounted` names the items, by place in the slate, that the user has been
    shown so often that their click rate does not count it any more. `request_id` and `list_id` are
    empty where the event had none.
    """

    offset: int
    ts_ms: int
    user_id: str
    request_id: str
    list_id: str
    items: list[int]
    positions: list[int]
    relevance: bytes
    examination: bytes
    choice: bytes = b""
    pull: float = 0.0
    rerank: bytes = b""
    uncounted: list[int] = []


class ActionRow(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    """One action, with the keys of the user's preceding positive actions, the latest first.

    Positional, because most events are one: by keywords a row costs twice as much.

    `item` is `NO_ITEM` for an action without one. `previous` is uint64[K]. `is_label` says that the
    action is the positive of the click head, `weight` > 0 that it is positive. `context` holds what
    anybody learns of the event's context, by name: the models what `side.context` names, of a
    positive action the counters by context theirs, too. `is_counted` is false where the user
    has acted upon the item so often of late that nothing counts it any more. `value` is a label
    action's own, a watch time say; None where it has none, and for all other actions.
    """

    offset: int
    ts_ms: int
    user_id: str
    item: int
    action_code: int
    weight: float
    is_label: bool
    request_id: str
    list_id: str
    previous: bytes
    context: dict[str, str] = {}
    is_counted: bool = True
    value: float | None = None


class VisitRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="v", gc=False):
    """A page was opened: nothing to learn, but the trainer and the partition's clock see it.

    `context` as in an `ActionRow`.
    """

    offset: int
    ts_ms: int
    user_id: str
    context: dict[str, str] = {}


class SlateRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="s", gc=False):
    """All candidates of one list, as they were ranked: the user's next positive action closes it.

    `features` is float32[N, F], the re-ranker's inputs. Only a deterministic sample of the lists is
    logged.
    """

    offset: int
    ts_ms: int
    user_id: str
    list_id: str
    items: list[int]
    features: bytes


class RivalRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="r", gc=False):
    """What the bundle in use and the one that challenges it made of one moment.

    `challenger` is the latter's short digest; the former's is the record's. `items` are the
    candidates of either and `log_chances` float32[N, 2], by which each ordered them, -inf where an
    item was no candidate; `gains` is float32[N, 2], the reciprocal ranks in the bundles' own
    orders, 0 where a bundle did not know an item. `listed` is the list that was made,
    `challenger_listed` the one that would have been made with the challenger, both without the
    places that are kept for new items.
    The row follows that of the event that caused the list.
    """

    offset: int
    ts_ms: int
    user_id: str
    challenger: str
    items: list[int]
    log_chances: bytes
    gains: bytes
    listed: list[int]
    challenger_listed: list[int]


class ChoiceRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="c", gc=False):
    """The item of an action that no list led to, and a sample of what else was on offer.

    `choice` is int32[N, C] as in an `ImpressionRow`, the item that was acted upon first. The row
    follows that of the action.
    """

    offset: int
    ts_ms: int
    user_id: str
    num_items: int
    choice: bytes
    pull: float


Row = ImpressionRow | ActionRow | VisitRow | SlateRow | RivalRow | ChoiceRow


class ExamplesRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The rows of the events [from_offset, to_offset) of one partition of `events`.

    `topic_id` names the very `events` topic (a recreated one starts anew). `lost_from` is -1, or
    the offset from which retention had cut the log before `from_offset`. `replica_offset` is the
    offset of `examples` for which the worker's replica of the online models stood; `layout`,
    `bundle` and `config` are the digests of the feature layout, the deep model ("" for none) and
    the configuration.
    """

    version: int
    topic_id: str
    partition: int
    from_offset: int
    to_offset: int
    lost_from: int
    replica_offset: int
    layout: str
    bundle: str
    config: str
    items: list[str]
    rows: list[Row]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ExamplesRecord)


def encode_record(record: ExamplesRecord) -> bytes:
    """Return the record's bytes; equal records give equal bytes."""
    return _encoder.encode(record)


def decode_record(value: bytes) -> ExamplesRecord:
    """Return the record that `value` encodes.

    Raises:
        ExamplesCorrupt: the bytes are no record of this version.
    """
    try:
        record = _decoder.decode(value)
    except msgspec.DecodeError as error:
        raise ExamplesCorrupt(
            f"a record of the examples topic cannot be decoded ({error}); expected version "
            f"{EXAMPLES_VERSION} of Headrace's MessagePack rows: point Headrace at its own topic"
        ) from error
    if record.version != EXAMPLES_VERSION:
        raise ExamplesCorrupt(
            f"a record of the examples topic has version {record.version}, expected "
            f"{EXAMPLES_VERSION}: run the Headrace release that wrote it, or start a new topic"
        )
    return record


def tail_of(record: ExamplesRecord, from_offset: int) -> ExamplesRecord:
    """Return the part of `record` that starts at `from_offset`.

    A crash between the acknowledgement of a record and the checkpoint repeats a chunk, perhaps with
    other boundaries; what was already learned is cut off here.
    """
    if from_offset <= record.from_offset:
        return record
    rows = [row for row in record.rows if row.offset >= from_offset]
    return msgspec.structs.replace(record, from_offset=from_offset, rows=rows)


def unpack_int32(data: bytes, num_rows: int) -> npt.NDArray[np.int32]:
    """Return the int32[num_rows, K] matrix that `data` holds."""
    return np.frombuffer(data, dtype="<i4").reshape(num_rows, -1)


def unpack_float32(data: bytes, num_rows: int) -> npt.NDArray[np.float32]:
    """Return the float32[num_rows, K] matrix that `data` holds."""
    return np.frombuffer(data, dtype="<f4").reshape(num_rows, -1)


def unpack_keys(data: bytes) -> npt.NDArray[np.uint64]:
    """Return the item keys uint64[K] that `data` holds."""
    return np.frombuffer(data, dtype="<u8")
