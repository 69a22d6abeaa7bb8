"""The published schemas: generated from the types, and of one mind with the decoder."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.events import EventRefused, decode_event, decode_item
from featurestore.schema import (
    EVENT_SCHEMA_FILE,
    ITEM_SCHEMA_FILE,
    event_schema,
    item_schema,
    published_schema,
    schema_text,
)

EVENTS = jsonschema.Draft202012Validator(published_schema(EVENT_SCHEMA_FILE))
ITEMS = jsonschema.Draft202012Validator(published_schema(ITEM_SCHEMA_FILE))

COMPLETE: dict[str, dict[str, Any]] = {
    "impression": {
        "type": "impression",
        "event_id": "e1",
        "user_id": "u1",
        "request_id": "r1",
        "list_id": "3-1207",
        "ts_ms": 1_700_000_000_000,
        "session_id": "s1",
        "items": [
            {"item_id": "i1", "position": 1, "propensity": 0.12, "features": {"price": 89.0}}
        ],
        "context": {"device": "mobile"},
    },
    "action": {
        "type": "action",
        "event_id": "e1",
        "user_id": "u1",
        "item_id": "i1",
        "action": "click",
        "ts_ms": 1_700_000_000_000,
        "request_id": "r1",
        "list_id": "3-1207",
        "session_id": "s1",
        "value": 12.5,
        "query": "boots",
        "context": {},
    },
    "visit": {
        "type": "visit",
        "event_id": "e1",
        "user_id": "u1",
        "ts_ms": 1_700_000_000_000,
        "context": {"page": 2, "logged_in": True, "referrer": None},
        "v": 1,
    },
}


def test_the_committed_files_are_what_the_types_say() -> None:
    """`python -m featurestore.schema` writes them anew."""
    assert published_schema(EVENT_SCHEMA_FILE) == json.loads(schema_text(event_schema()))
    assert published_schema(ITEM_SCHEMA_FILE) == json.loads(schema_text(item_schema()))


def test_the_files_are_valid_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(published_schema(EVENT_SCHEMA_FILE))
    jsonschema.Draft202012Validator.check_schema(published_schema(ITEM_SCHEMA_FILE))


@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_the_designs_examples_are_accepted_by_both(name: str) -> None:
    EVENTS.validate(COMPLETE[name])
    decode_event(json.dumps(COMPLETE[name]).encode())


def test_an_item_of_the_catalogue_is_accepted_by_both() -> None:
    record = {
        "item_id": "i1",
        "title": "Boots",
        "categories": ["shoes"],
        "attributes": {"price": 89.0, "colour": "black"},
        "published_at_ms": 1_700_000_000_000,
        "available": True,
    }
    ITEMS.validate(record)
    decode_item(json.dumps(record).encode())


odd_values = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 10_001, 2**60, 0.5, 1.5])
    | st.sampled_from(["", "x", "x" * 129, "x" * 2000, "click", "action", "visit"])
    | st.sampled_from([[], {}, [{}], {"a": 1}, {"a": {}}, {"": 1}])
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(sorted(COMPLETE)), st.data())
def test_schema_and_decoder_agree(name: str, data: st.DataObject) -> None:
    event = dict(COMPLETE[name])
    for field in data.draw(st.lists(st.sampled_from(sorted(event)), max_size=2)):
        if data.draw(st.booleans()):
            event.pop(field, None)
        else:
            event[field] = data.draw(odd_values)
    assert EVENTS.is_valid(event) == _is_decoded(event), event


def _is_decoded(event: dict[str, Any]) -> bool:
    try:
        decode_event(json.dumps(event).encode())
    except EventRefused:
        return False
    return True
