"""A state's bytes: read back equal, pinned, and refused when they are something else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.codec import StateCorrupt, decode_state, encode_state
from featurestore.events import Event
from featurestore.state import EMPTY_STATE
from featurestore.state_layout import HEADER_BYTES
from tests.featurestore.user_events import action, event_lists, folded, shown, visit

GOLDEN = Path(__file__).parent / "golden" / "user_state_v1.hex"


@settings(derandomize=True, deadline=None, max_examples=50)
@given(event_lists)
def test_a_state_is_read_back_as_it_was_written(events: list[Event]) -> None:
    state = folded(events)
    value = encode_state(state)
    assert decode_state(value) == state
    assert encode_state(decode_state(value)) == value


def test_the_bytes_of_a_state_are_those_of_the_golden_file() -> None:
    """Whoever changes these bytes raises STATE_VERSION or FOLD_VERSION."""
    state = folded(
        [
            action(1, "i1", session_id="s1"),
            shown(2, "i1", "i2"),
            visit(3),
            action(40_000, "i2", "hide"),
            action(40_030, None, "search"),
            *(action(40_100 + n, f"i{n}") for n in range(4)),
        ]
    )
    assert encode_state(state).hex(" ", 4).split() == GOLDEN.read_text().split()


def test_an_empty_state_is_its_header() -> None:
    assert len(encode_state(EMPTY_STATE)) == HEADER_BYTES
    assert decode_state(encode_state(EMPTY_STATE)) == EMPTY_STATE


@pytest.mark.parametrize("cut", [0, 1, HEADER_BYTES - 1, HEADER_BYTES, -1])
def test_a_state_cut_short_is_refused(cut: int) -> None:
    value = encode_state(folded([action(1), shown(2, "a")]))
    with pytest.raises(StateCorrupt):
        decode_state(value[:cut])


def test_a_state_of_another_version_or_with_more_behind_it_is_refused() -> None:
    value = encode_state(folded([action(1)]))
    with pytest.raises(StateCorrupt, match="beginning 02"):
        decode_state(b"\x02" + value[1:])
    with pytest.raises(StateCorrupt, match="expected"):
        decode_state(value + b"\0")


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=120).map(lambda tail: b"\x01" + tail))
def test_arbitrary_bytes_raise_nothing_but_corruption(value: bytes) -> None:
    try:
        state = decode_state(value)
    except StateCorrupt:
        return
    assert encode_state(state) == value
