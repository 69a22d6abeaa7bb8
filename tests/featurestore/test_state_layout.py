"""Where things stand in a state's bytes."""

import itertools

import pytest

from featurestore.events import Event
from featurestore.fold import NUM_EVENT_MARKS
from featurestore.state_layout import (
    CLOCK_MS_AT,
    COUNTS,
    COUNTS_AT,
    HEADER_BYTES,
    SESSION_NUM_ACTIONS_AT,
    U16,
    U64,
    Header,
    action_edges,
    edges_of,
    index_of,
    num_bytes_of,
)
from tests.featurestore.user_events import action, folded, shown

FULL = Header(
    clock_ms=2**40,
    session_start_s=1,
    session_mark=2,
    session_num_actions=3,
    last_s=4,
    span_s=5,
    shown_s=6,
    num_actions=7,
    num_marks=8,
    num_shown=9,
    num_hidden=10,
    num_seen=11,
)


def test_the_fields_that_are_read_alone_stand_where_the_header_has_them() -> None:
    value = FULL.packed()
    assert len(value) == HEADER_BYTES
    assert U64.unpack_from(value, CLOCK_MS_AT) == (FULL.clock_ms,)
    assert U16.unpack_from(value, SESSION_NUM_ACTIONS_AT) == (FULL.session_num_actions,)
    assert COUNTS.unpack_from(value, COUNTS_AT) == FULL[-5:]


def test_the_columns_follow_each_other() -> None:
    at = edges_of(FULL.packed())
    widths = (7 * 4, 6 * 2, 7, 8 * 4, 9 * 4, 10 * 4, 10 * 2, 11 * 4, 11 * 2)
    assert [after - before for before, after in itertools.pairwise(at)] == list(widths[:-1])
    assert num_bytes_of(FULL.packed()) == HEADER_BYTES + sum(widths)
    assert action_edges(7) == (at.gaps_at, at.codes_at, at.marks_at)


@pytest.mark.parametrize("num_events", [0, 1, 3])
def test_a_folded_state_is_as_long_as_its_header_says(num_events: int) -> None:
    events: list[Event] = [action(1, "a"), shown(2, "b", "c"), action(3, "d", "hide")]
    state = folded(events[:num_events])
    assert num_bytes_of(state.value) == len(state.value)
    assert state.header.num_marks == num_events < NUM_EVENT_MARKS


@pytest.mark.parametrize(
    ("entry", "at"), [(b"\1\2", 1), (b"\3\4", 3), (b"\2\3", -1), (b"\5\6", -1), (b"\4\5", -1)]
)
def test_only_an_aligned_entry_of_the_column_is_found(entry: bytes, at: int) -> None:
    assert index_of(b"\2\1\2\3\4\5\6", entry, 1, 5) == at


def test_an_entry_is_found_behind_a_place_that_only_looks_like_it() -> None:
    assert index_of(b"\1\2\2\3\2\2", b"\2\2", 0, 6) == 4
