"""The byte columns of a user's past: times survive eviction, sets keep their order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.columns import (
    DAY_S,
    MAX_GAP_S,
    NO_ACTIONS,
    NO_KEYS,
    gap_code,
    gap_seconds,
    index_of,
)


@settings(derandomize=True, deadline=None)
@given(st.integers(0, MAX_GAP_S))
def test_a_gap_seems_never_shorter_and_at_most_three_percent_longer(gap_s: int) -> None:
    coded = gap_seconds(gap_code(gap_s))
    assert gap_s <= coded <= gap_s * 1.032
    assert 0 <= gap_code(gap_s) < 2**16
    assert gap_s >= 32_768 or coded == gap_s


def test_the_longest_gap_fits_and_a_longer_one_saturates() -> None:
    assert gap_seconds(gap_code(MAX_GAP_S)) == MAX_GAP_S
    assert gap_code(MAX_GAP_S * 2) == 2**16 - 1


def test_times_do_not_depend_on_what_was_forgotten() -> None:
    columns = NO_ACTIONS
    for at_s in (1_000, 1_030, 50_000, 50_031, 90_000_00):
        columns = columns.appended(key=7, code=1, at_s=at_s)
    times = columns.times_s()
    assert times[-1] == 90_000_00
    assert times[-2:][0] - times[-3:][0] == 31
    assert columns.oldest_s == times[0]
    younger = columns.without_oldest().without_oldest()
    assert younger.times_s().tolist() == times[2:].tolist()
    assert younger.oldest_s == times[2]


def test_the_last_action_gone_leaves_the_columns_empty() -> None:
    assert NO_ACTIONS.appended(key=7, code=1, at_s=5).without_oldest() == NO_ACTIONS
    assert NO_ACTIONS.times_s().tolist() == []


def test_a_key_added_again_becomes_the_newest() -> None:
    keys = NO_KEYS
    for key in (1, 2, 1, 3):
        keys = keys.with_key(key, at_s=DAY_S, max_keys=10)
    assert keys.keys == b"\2\0\0\0\1\0\0\0\3\0\0\0"
    assert len(keys) == 3


def test_beyond_its_cap_a_set_loses_its_oldest() -> None:
    keys = NO_KEYS
    for key in range(1, 6):
        keys = keys.with_key(key, at_s=key * DAY_S, max_keys=2)
    assert keys.keys == b"\4\0\0\0\5\0\0\0"
    assert keys.days == b"\4\0\5\0"


def test_a_set_forgets_the_days_that_begin_too_early() -> None:
    keys = NO_KEYS
    for key in range(1, 6):
        keys = keys.with_key(key, at_s=key * DAY_S + 5, max_keys=9)
    assert keys.since(3 * DAY_S).keys == b"\3\0\0\0\4\0\0\0\5\0\0\0"
    assert keys.since(3 * DAY_S + 1).keys == b"\4\0\0\0\5\0\0\0"
    assert keys.since(DAY_S) is keys
    assert keys.since(99 * DAY_S) == NO_KEYS


@pytest.mark.parametrize(("entry", "index"), [(b"\1\2", 0), (b"\3\4", 1), (b"\2\3", -1)])
def test_only_an_aligned_entry_is_found(entry: bytes, index: int) -> None:
    assert index_of(b"\1\2\3\4", entry) == index
