"""The time between two actions in two bytes: never told too short, and bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.gaps import MAX_GAP_S, gap_code, gap_seconds


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
