"""The rows of the examples log: bytes, refusal, tails."""

import msgspec
import numpy as np
import pytest

from streams.examples import (
    ActionRow,
    ChoiceRow,
    ExamplesCorrupt,
    ExamplesRecord,
    ImpressionRow,
    RivalRow,
    SlateRow,
    VisitRow,
    decode_record,
    encode_record,
    tail_of,
    unpack_float32,
    unpack_int32,
    unpack_keys,
)

RELEVANCE = np.arange(6, dtype="<i4").reshape(2, 3)
FEATURES = np.array([[0.5, -1.0], [np.inf, 2.0]], dtype="<f4")
KEYS = np.array([7, 2**40], dtype="<u8")

RECORD = ExamplesRecord(
    version=1,
    topic_id="id",
    partition=3,
    from_offset=10,
    to_offset=20,
    lost_from=-1,
    replica_offset=5,
    layout="aa",
    bundle="",
    config="bb",
    items=["i1", "i2"],
    rows=[
        ImpressionRow(
            offset=10,
            ts_ms=1,
            user_id="u",
            request_id="r",
            list_id="",
            items=[0, 1],
            positions=[1, 2],
            relevance=RELEVANCE.tobytes(),
            examination=b"",
        ),
        ActionRow(
            offset=12,
            ts_ms=2,
            user_id="u",
            item=1,
            action_code=1,
            weight=1.0,
            is_label=True,
            request_id="",
            list_id="l",
            previous=KEYS.tobytes(),
            context={"device": "phone"},
        ),
        VisitRow(offset=15, ts_ms=3, user_id="ü", context={"device": "phone"}),
        ChoiceRow(
            offset=12, ts_ms=2, user_id="u", num_items=2, choice=RELEVANCE.tobytes(), pull=0.5
        ),
        SlateRow(
            offset=15, ts_ms=3, user_id="ü", list_id="l", items=[0, 1], features=FEATURES.tobytes()
        ),
        RivalRow(
            offset=15,
            ts_ms=3,
            user_id="ü",
            challenger="c",
            items=[0, 1],
            log_chances=FEATURES.tobytes(),
            gains=FEATURES.tobytes(),
            listed=[0],
            challenger_listed=[1],
        ),
    ],
)


def test_a_record_comes_back_as_it_was_with_its_numbers() -> None:
    back = decode_record(encode_record(RECORD))

    assert back == RECORD
    shown, acted, _, chosen, slate, rivals = back.rows
    assert isinstance(shown, ImpressionRow)
    assert isinstance(acted, ActionRow)
    assert isinstance(slate, SlateRow)
    assert isinstance(chosen, ChoiceRow)
    assert isinstance(rivals, RivalRow)
    assert unpack_int32(chosen.choice, chosen.num_items).tolist() == RELEVANCE.tolist()
    assert unpack_int32(shown.relevance, 2).tolist() == RELEVANCE.tolist()
    assert unpack_keys(acted.previous).tolist() == KEYS.tolist()
    assert unpack_float32(slate.features, 2).tolist() == FEATURES.tolist()


@pytest.mark.parametrize("value", [b"", b"{}", b"\x91\x01", encode_record(RECORD)[:-1]])
def test_what_is_no_record_is_refused(value: bytes) -> None:
    with pytest.raises(ExamplesCorrupt, match="cannot be decoded"):
        decode_record(value)


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(ExamplesCorrupt, match="version 2, expected 1"):
        decode_record(encode_record(msgspec.structs.replace(RECORD, version=2)))


def test_a_tail_starts_where_it_is_asked_to() -> None:
    tail = tail_of(RECORD, 13)

    assert (tail.from_offset, tail.to_offset) == (13, 20)
    assert [row.offset for row in tail.rows] == [15, 15, 15]
    assert tail.items == RECORD.items
    assert tail_of(RECORD, 10) is RECORD
