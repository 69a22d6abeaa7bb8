"""Which records are events, and the reason that each other one is refused for."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.events import (
    MAX_AHEAD_MS,
    MAX_DEPTH,
    MAX_TS_MS,
    MAX_VALUE_BYTES,
    Action,
    CatalogueItem,
    Event,
    EventRefused,
    Impression,
    ItemId,
    RefusalReason,
    ShownItem,
    UserId,
    Visit,
    check_arrival,
    decode_event,
    decode_item,
    encode_event,
)
from featurestore.partition import partition_of
from tests.featurestore.user_events import events as drawn_events

GOLDEN = Path(__file__).parent / "golden" / "wire_events_v1.txt"

ACTION = {
    "type": "action",
    "event_id": "e1",
    "user_id": "u1",
    "item_id": "i1",
    "action": "click",
    "ts_ms": 1_700_000_000_000,
}
IMPRESSION = {
    "type": "impression",
    "event_id": "e1",
    "user_id": "u1",
    "ts_ms": 1_700_000_000_000,
    "items": [{"item_id": "i1", "position": 1, "propensity": 0.12, "features": {"price": 89.0}}],
}


def refusal(value: bytes | None) -> RefusalReason:
    with pytest.raises(EventRefused) as refused:
        decode_event(value)
    return refused.value.reason


def changed(event: dict[str, object], **fields: object) -> bytes:
    return json.dumps({**event, **fields}).encode()


def without(event: dict[str, object], field: str) -> bytes:
    return json.dumps({name: value for name, value in event.items() if name != field}).encode()


def nested(depth: int) -> bytes:
    return (
        json.dumps(ACTION)[:-1].encode()
        + b',"unknown":'
        + b"[" * (depth - 1)
        + b"]" * (depth - 1)
        + b"}"
    )


def test_an_impression_is_read_with_its_optional_fields() -> None:
    value = changed(
        IMPRESSION, request_id="r1", list_id="3-7", session_id="s1", context={"device": "mobile"}
    )
    assert decode_event(value) == Impression(
        event_id="e1",
        user_id=UserId("u1"),
        ts_ms=1_700_000_000_000,
        session_id="s1",
        context={"device": "mobile"},
        items=(
            ShownItem(item_id=ItemId("i1"), position=1, propensity=0.12, features={"price": 89.0}),
        ),
        request_id="r1",
        list_id="3-7",
    )


def test_an_action_may_lack_its_item() -> None:
    event = decode_event(without({**ACTION, "action": "search", "query": "boots"}, "item_id"))
    assert isinstance(event, Action)
    assert (event.item_id, event.query) == (None, "boots")


def test_the_wire_bytes_are_those_of_the_golden_file() -> None:
    """What producers and event files contain: a change here is a new version of the wire."""
    lines = GOLDEN.read_bytes().splitlines()
    events = [decode_event(line) for line in lines]
    assert [type(event) for event in events] == [Impression, Action, Action, Visit]
    assert [encode_event(event) for event in events] == lines


@settings(derandomize=True, deadline=None)
@given(drawn_events)
def test_an_event_is_read_back_as_it_was_written(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


def test_a_visit_needs_only_who_and_when() -> None:
    value = b'{"type":"visit","event_id":"e","user_id":"u","ts_ms":1}'
    assert decode_event(value) == Visit(event_id="e", user_id=UserId("u"), ts_ms=1)


def test_a_field_that_we_do_not_know_is_ignored() -> None:
    assert decode_event(changed(ACTION, colour="red")) == decode_event(changed(ACTION))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, RefusalReason.EMPTY),
        (b"", RefusalReason.EMPTY),
        (b" " * (MAX_VALUE_BYTES + 1), RefusalReason.TOO_LARGE),
        (nested(MAX_DEPTH + 1), RefusalReason.TOO_DEEP),
        (b"[" * 200_000, RefusalReason.TOO_DEEP),
        (b"\x00\xff\xfe", RefusalReason.NOT_JSON),
        (json.dumps(ACTION)[:-9].encode(), RefusalReason.NOT_JSON),
        (json.dumps(ACTION).encode() + b"x", RefusalReason.NOT_JSON),
        (changed(ACTION, value=float("nan")), RefusalReason.NOT_JSON),
        (b'{"type":"visit","event_id":"\xff","user_id":"u","ts_ms":1}', RefusalReason.NOT_JSON),
        (b'{"type":"visit","event_id":"\\ud800","user_id":"u","ts_ms":1}', RefusalReason.NOT_JSON),
        (changed(ACTION, type="purchase"), RefusalReason.UNKNOWN_TYPE),
        (changed(ACTION, v=2), RefusalReason.UNKNOWN_VERSION),
        (b'{"type":"sale","v":3}', RefusalReason.UNKNOWN_VERSION),
        (without(ACTION, "type"), RefusalReason.MISSING_FIELD),
        (without(ACTION, "event_id"), RefusalReason.MISSING_FIELD),
        (without(ACTION, "action"), RefusalReason.MISSING_FIELD),
        (without(IMPRESSION, "items"), RefusalReason.MISSING_FIELD),
        (changed(IMPRESSION, items=[{"item_id": "i1"}]), RefusalReason.MISSING_FIELD),
        (b"[]", RefusalReason.WRONG_TYPE),
        (b"null", RefusalReason.WRONG_TYPE),
        (changed(ACTION, type=7), RefusalReason.WRONG_TYPE),
        (changed(ACTION, v="1"), RefusalReason.WRONG_TYPE),
        (changed(ACTION, ts_ms="1700000000000"), RefusalReason.WRONG_TYPE),
        (changed(ACTION, ts_ms=1.5), RefusalReason.WRONG_TYPE),
        (changed(ACTION, ts_ms=True), RefusalReason.WRONG_TYPE),
        (changed(ACTION, user_id=None), RefusalReason.WRONG_TYPE),
        (changed(ACTION, item_id=17), RefusalReason.WRONG_TYPE),
        (changed(ACTION, context={"device": ["mobile"]}), RefusalReason.WRONG_TYPE),
        (changed(ACTION, ts_ms=0), RefusalReason.OUT_OF_RANGE),
        (changed(ACTION, ts_ms=-1), RefusalReason.OUT_OF_RANGE),
        (changed(ACTION, ts_ms=MAX_TS_MS + 1), RefusalReason.OUT_OF_RANGE),
        (changed(ACTION, ts_ms=10**30), RefusalReason.OUT_OF_RANGE),
        (changed(ACTION, user_id=""), RefusalReason.OUT_OF_RANGE),
        (changed(ACTION, user_id="u" * 129), RefusalReason.OUT_OF_RANGE),
        (changed(ACTION, value=1)[:-2] + b"1e999}", RefusalReason.OUT_OF_RANGE),
        (changed(ACTION, context={str(n): n for n in range(65)}), RefusalReason.OUT_OF_RANGE),
        (changed(IMPRESSION, items=[]), RefusalReason.OUT_OF_RANGE),
        (
            changed(IMPRESSION, items=[{"item_id": "i", "position": 1}] * 501),
            RefusalReason.OUT_OF_RANGE,
        ),
        (
            changed(IMPRESSION, items=[{"item_id": "i", "position": 0}]),
            RefusalReason.OUT_OF_RANGE,
        ),
        (
            changed(IMPRESSION, items=[{"item_id": "i", "position": 1, "propensity": 0}]),
            RefusalReason.OUT_OF_RANGE,
        ),
        (
            changed(IMPRESSION, items=[{"item_id": "i", "position": 1, "propensity": 1.1}]),
            RefusalReason.OUT_OF_RANGE,
        ),
    ],
)
def test_a_refusal_names_its_reason(value: bytes | None, reason: RefusalReason) -> None:
    assert refusal(value) is reason


def test_the_deepest_value_allowed_is_taken() -> None:
    assert decode_event(nested(MAX_DEPTH)).event_id == "e1"


def test_brackets_inside_strings_are_not_depth() -> None:
    assert decode_event(changed(ACTION, query='"[{' * 200)).event_id == "e1"


def test_a_large_slate_with_features_is_not_too_deep() -> None:
    shown = [{"item_id": f"i{n}", "position": n + 1, "features": {"price": n}} for n in range(500)]
    event = decode_event(changed(IMPRESSION, items=shown))
    assert isinstance(event, Impression)
    assert len(event.items) == 500


def test_a_refusal_stays_short_whatever_was_sent() -> None:
    with pytest.raises(EventRefused) as refused:
        decode_event(changed(ACTION, type="x" * 100_000))
    assert len(refused.value.detail) <= 200


def test_a_catalogue_record_is_available_unless_it_says_otherwise() -> None:
    assert decode_item(b'{"item_id":"i"}') == CatalogueItem(item_id=ItemId("i"))
    assert not decode_item(b'{"item_id":"i","available":false}').available


def test_a_tombstone_in_the_catalogue_is_refused() -> None:
    with pytest.raises(EventRefused) as refused:
        decode_item(None)
    assert refused.value.reason is RefusalReason.EMPTY


def visit(user_id: str, ts_ms: int) -> Event:
    return Visit(event_id="e", user_id=UserId(user_id), ts_ms=ts_ms)


def test_an_event_in_its_users_partition_arrives() -> None:
    check_arrival(
        visit("u1", 1000), append_time_ms=1000, partition=partition_of("u1", 12), num_partitions=12
    )


def test_an_event_in_another_partition_is_refused() -> None:
    with pytest.raises(EventRefused) as refused:
        check_arrival(
            visit("u1", 1000),
            append_time_ms=1000,
            partition=(partition_of("u1", 12) + 1) % 12,
            num_partitions=12,
        )
    assert refused.value.reason is RefusalReason.WRONG_PARTITION


def test_an_event_from_the_future_is_refused() -> None:
    check_arrival(
        visit("u", 1000 + MAX_AHEAD_MS), append_time_ms=1000, partition=0, num_partitions=1
    )
    with pytest.raises(EventRefused) as refused:
        check_arrival(
            visit("u", 1001 + MAX_AHEAD_MS), append_time_ms=1000, partition=0, num_partitions=1
        )
    assert refused.value.reason is RefusalReason.FUTURE


def test_without_a_broker_nothing_is_the_future() -> None:
    check_arrival(visit("u", MAX_TS_MS), append_time_ms=None, partition=0, num_partitions=1)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_a_refusal(value: bytes) -> None:
    with pytest.raises(EventRefused):
        decode_event(value)


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("i1")
)
json_values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.just("price"), scalars)


@settings(derandomize=True, deadline=None)
@given(
    st.sampled_from([ACTION, IMPRESSION]),
    st.dictionaries(st.sampled_from([*ACTION, *IMPRESSION, "v", "context"]), json_values),
)
def test_arbitrary_fields_raise_nothing_but_a_refusal(
    event: dict[str, object], fields: dict[str, object]
) -> None:
    value = changed(event, **fields)
    try:
        decoded = decode_event(value)
    except EventRefused:
        return
    assert decode_event(encode_event(decoded)) == decoded
