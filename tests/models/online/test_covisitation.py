"""Co-visitation: counted pairs, bounded rows, weighted queries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.online.covisitation import Covisitation, CovisitationConfig, PairCounts, RowsAsked
from models.online.questions import Query, Questions


def new_covisitation(num_slots: int = 4, num_items: int = 12) -> Covisitation:
    config = CovisitationConfig(
        half_life_ms=1000,
        num_slots=num_slots,
        learn_weights=(1.0, 0.5),
        query_weights=(3.0, 1.0),
        strength=2.0,
    )
    covisitation = Covisitation(config)
    covisitation.table.grow(num_items)
    return covisitation


def asked(previous: list[int], codes: list[int], now_ms: int = 0) -> Questions:
    return Questions.of_one(Query(now_ms=now_ms, previous=previous), np.array(codes, np.int32))


def followers(covisitation: Covisitation, previous: list[int]) -> list[int]:
    (found,) = covisitation.followers([Query(now_ms=0, previous=previous)])
    codes: list[int] = found.tolist()
    return codes


def shares(covisitation: Covisitation, previous: list[int], codes: list[int]) -> list[float]:
    """Shares at time 0 where nothing is popular."""
    found = covisitation.shares(asked(previous, codes), np.zeros(len(codes)))
    return [float(share) for share in found]


def test_shares_by_hand() -> None:
    covisitation = new_covisitation()
    covisitation.learn([1, 2, 3], 5, 8.0, 0)  # 8 after item 1, 4 after item 2, the third lag none
    covisitation.learn([1], 6, 2.0, 1000)
    codes, popularity = [5, 6, 7], np.array([0.5, 0.25, 0.0])
    # At 1000 ms item 1 was followed by item 5 four times and by item 6 twice.
    alone = covisitation.shares(asked([1], codes, 1000), popularity)
    assert alone.tolist() == pytest.approx([(4 + 1) / 8, (2 + 0.5) / 8, 0])
    # Item 2, by item 5 twice: 3/4 of the former and 1/4 of this.
    both = covisitation.shares(asked([1, 2], codes, 1000), popularity)
    expected = [0.75 * 5 / 8 + 0.25 * 3 / 4, 0.75 * 2.5 / 8 + 0.25 * 0.5 / 4, 0]
    assert both.tolist() == pytest.approx(expected)
    assert covisitation.shares(asked([-1, 2], codes, 1000), popularity).tolist() == pytest.approx(
        [3 / 4, 0.5 / 4, 0]
    )
    assert followers(covisitation, [3]) == []
    assert followers(covisitation, [2, -1, 1]) == [5]
    # Item 5 followed both.
    assert followers(covisitation, [1, 2]) == [5, 6]


def test_without_known_history_shares_are_those_of_popularity() -> None:
    covisitation, popularity = new_covisitation(), np.array([0.5, 0.25])
    for previous in ([], [-1], [4]):
        found = covisitation.shares(asked(previous, [5, 6]), popularity)
        assert found.tolist() == [0.5, 0.25]


def test_an_item_does_not_follow_itself_nor_unknown_or_repeated_ones() -> None:
    covisitation = new_covisitation()
    covisitation.learn([5, -1], 5, 1.0, 0)
    assert followers(covisitation, [5]) == []
    covisitation.learn([1, 1], 5, 1.0, 0)
    assert shares(covisitation, [1], [5]) == [1 / 3]


def test_a_full_row_gives_the_slot_of_its_smallest_count_to_a_newcomer() -> None:
    covisitation = new_covisitation(num_slots=2)
    covisitation.learn([1], 5, 3.0, 0)
    covisitation.learn([1], 6, 2.0, 0)
    covisitation.learn([1], 7, 1.0, 0)
    assert followers(covisitation, [1]) == [5, 7]
    covisitation.learn([1], 6, 1.0, 0)  # comes back from nothing, in place of 7
    assert shares(covisitation, [1], [5, 6, 7]) == pytest.approx([3 / 6, 1 / 6, 0])


def test_an_item_that_is_asked_for_twice_gets_the_same_share_twice() -> None:
    covisitation = new_covisitation()
    covisitation.learn([1], 5, 1.0, 0)
    assert shares(covisitation, [1], [5, 2, 5]) == [1 / 3, 0, 1 / 3]


def test_the_cause_is_the_item_that_speaks_for_a_candidate_most() -> None:
    covisitation = new_covisitation()
    covisitation.learn([1], 5, 1.0, 0)
    covisitation.learn([2], 5, 8.0, 0)
    covisitation.learn([1], 6, 1.0, 0)
    codes = [5, 6, 7]
    assert covisitation.causes(asked([1, 2], codes)).tolist() == [2, 1, -1]
    assert covisitation.causes(asked([1], codes)).tolist() == [1, 1, -1]
    assert covisitation.causes(asked([], codes)).tolist() == [-1, -1, -1]


def test_retired_items_leave_no_trace() -> None:
    covisitation = new_covisitation()
    covisitation.learn([1], 5, 1.0, 0)
    covisitation.learn([5], 1, 1.0, 0)
    covisitation.learn([1], 6, 1.0, 0)
    covisitation.drop(np.array([5]))
    assert followers(covisitation, [1]) == [6]
    assert followers(covisitation, [5]) == []


@settings(deadline=None, max_examples=60)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 2), st.integers(3, 8), st.integers(0, 5000)), max_size=40
    ),
    codes=st.lists(st.integers(0, 11), min_size=1, max_size=12),
)
def test_spread_counts_equal_a_dictionary_of_pairs(
    events: list[tuple[int, int, int]], codes: list[int]
) -> None:
    pairs = PairCounts("pairs", 1000, num_slots=8)
    pairs.table.grow(3)
    expected: dict[tuple[int, int], float] = {}
    for row, code, time_ms in events:
        pairs.add([row], [1.0], code, time_ms)
        halved = 2 ** ((time_ms - 5000) / 1000)
        expected[row, code] = expected.get((row, code), 0.0) + halved
    rows = RowsAsked.of([(0, 0, 0), (2, 0, 0)])
    amounts = pairs.counts([0, 2], 5000)
    found = pairs.spread(rows, amounts, asked([], codes))
    assert found[0].tolist() == pytest.approx(
        [expected.get((0, code), 0.0) + expected.get((2, code), 0.0) for code in codes]
    )
    again = pairs.spread(rows, amounts, asked([], codes[::-1]))
    assert again[0].tolist() == found[0].tolist()[::-1]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="num_slots: found 1"):
        CovisitationConfig(num_slots=1)
    with pytest.raises(ValueError, match="half_life_ms: found 0"):
        CovisitationConfig(half_life_ms=0)
    with pytest.raises(ValueError, match="strength: found 0"):
        CovisitationConfig(strength=0)
    with pytest.raises(ValueError, match="weights above 0"):
        CovisitationConfig(query_weights=())
