from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.partition_clock import ClockConfig, PartitionClock

CONFIG = ClockConfig(max_jump_ms=1_000, num_jump_users=3, num_jump_rows=5)


def test_first_row_sets_the_clock() -> None:
    clock = PartitionClock(CONFIG)

    assert clock.advance(10**12, "a") == 10**12
    assert clock.now_ms == 10**12


def test_late_row_keeps_its_own_time_and_does_not_move_the_clock() -> None:
    clock = PartitionClock(CONFIG)
    clock.advance(5_000, "a")

    assert clock.advance(3_000, "b") == 3_000
    assert clock.now_ms == 5_000


def test_one_user_with_a_broken_clock_moves_nothing() -> None:
    clock = PartitionClock(CONFIG)
    clock.advance(5_000, "a")
    for _ in range(4):
        assert clock.advance(900_000, "broken") == 5_000

    assert clock.advance(5_500, "a") == 5_500
    assert clock.now_ms == 5_500


def test_three_users_confirm_a_jump_to_the_earliest_of_their_times() -> None:
    clock = PartitionClock(CONFIG)
    clock.advance(5_000, "a")
    clock.advance(9_000_000, "broken")
    clock.advance(100_000, "b")

    assert clock.advance(100_400, "c") == 100_400
    assert clock.now_ms == 100_400


def test_a_row_within_reach_withdraws_the_claims() -> None:
    clock = PartitionClock(CONFIG)
    clock.advance(5_000, "a")
    clock.advance(100_000, "b")
    clock.advance(100_000, "c")
    clock.advance(5_001, "a")

    assert clock.advance(100_000, "d") == 5_001


def test_many_rows_of_one_user_confirm_a_jump() -> None:
    clock = PartitionClock(CONFIG)
    clock.advance(5_000, "a")
    times = [clock.advance(100_000 + n, "a") for n in range(5)]

    assert times == [5_000, 5_000, 5_000, 5_000, 100_004]


rows = st.lists(
    st.tuples(st.sampled_from([1, 900, 1_500, 3_000, 60_000, 61_000]), st.sampled_from("abcd")),
    max_size=40,
)


@given(rows, rows)
def test_a_clock_goes_on_from_its_mark(
    before: list[tuple[int, str]], after: list[tuple[int, str]]
) -> None:
    clock = PartitionClock(CONFIG)
    for ts_ms, user_id in before:
        clock.advance(ts_ms, user_id)
    resumed = PartitionClock(CONFIG, clock.mark())

    assert [clock.advance(*row) for row in after] == [resumed.advance(*row) for row in after]
    assert clock.mark() == resumed.mark()


@given(rows)
def test_the_clock_never_goes_back_and_no_row_counts_after_it(rows: list[tuple[int, str]]) -> None:
    clock = PartitionClock(CONFIG)
    now_ms = 0
    for ts_ms, user_id in rows:
        event_ms = clock.advance(ts_ms, user_id)
        assert clock.now_ms >= now_ms
        assert event_ms <= min(ts_ms, clock.now_ms)
        now_ms = clock.now_ms
