import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.errors import EXIT_START_POSITION, StartPositionError
from streams.engine.positions import LOG_START, require_offset_for_each, resolve_position

EVENTS_0 = TP("events", 0)
EVENTS_1 = TP("events", 1)


def test_offset_within_the_log_is_taken_as_it_is() -> None:
    assert resolve_position(EVENTS_0, wanted=7, log_start=3, log_end=9) == (7, 0)


def test_log_end_is_a_position() -> None:
    assert resolve_position(EVENTS_0, wanted=9, log_start=3, log_end=9) == (9, 0)


def test_zero_is_an_offset_like_any_other() -> None:
    assert resolve_position(EVENTS_0, wanted=0, log_start=0, log_end=9) == (0, 0)


def test_events_cut_by_retention_are_counted() -> None:
    assert resolve_position(EVENTS_0, wanted=0, log_start=5, log_end=9) == (5, 5)


def test_asking_for_the_log_start_loses_nothing() -> None:
    assert resolve_position(EVENTS_0, wanted=LOG_START, log_start=5, log_end=9) == (5, 0)


def test_offset_past_the_end_names_the_remedy() -> None:
    with pytest.raises(StartPositionError, match=r"events-0 .* at offset 10, .* ends at 9"):
        resolve_position(EVENTS_0, wanted=10, log_start=3, log_end=9)


def test_negative_offset_is_refused() -> None:
    with pytest.raises(StartPositionError, match="expected an offset from 0 on, or LOG_START"):
        resolve_position(EVENTS_0, wanted=-1, log_start=3, log_end=9)


def test_partition_without_an_offset_is_named() -> None:
    with pytest.raises(StartPositionError, match="no offset for events-1"):
        require_offset_for_each(frozenset({EVENTS_0, EVENTS_1}), {EVENTS_0: 3})


def test_supervisor_can_tell_a_start_position_error_by_its_code() -> None:
    assert StartPositionError.exit_code == EXIT_START_POSITION


@given(wanted=st.integers(0, 50), log_start=st.integers(0, 50), num_in_log=st.integers(0, 50))
def test_start_lies_in_the_log_and_accounts_for_what_was_skipped(
    wanted: int, log_start: int, num_in_log: int
) -> None:
    log_end = log_start + num_in_log
    if wanted > log_end:
        with pytest.raises(StartPositionError):
            resolve_position(EVENTS_0, wanted=wanted, log_start=log_start, log_end=log_end)
        return
    offset, num_lost = resolve_position(
        EVENTS_0, wanted=wanted, log_start=log_start, log_end=log_end
    )
    assert log_start <= offset <= log_end
    assert offset - num_lost == wanted
