"""What can be read from a user's state."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.actions import Effect
from featurestore.events import Event
from featurestore.fold import fold
from featurestore.keys import item_key, item_keys
from featurestore.state import EMPTY_STATE, UserState
from tests.featurestore.user_events import (
    RULES,
    SMALL_RULES,
    START_MS,
    TABLE,
    action,
    event_lists,
    folded,
    shown,
)


def test_the_history_is_oldest_first_and_keeps_actions_without_an_item() -> None:
    state = folded([action(1, "i1"), action(2, None, "search"), action(3, "i2", "teleport")])
    history = state.history(9)
    assert history.keys.tolist() == [item_key("i1"), 0, item_key("i2")]
    assert history.actions.tolist() == [1, 9, 0]
    assert history.times_s.tolist() == [START_MS // 1000 + n for n in (1, 2, 3)]
    assert state.history(1).keys.tolist() == [item_key("i2")]
    assert EMPTY_STATE.history(3).keys.tolist() == []


@settings(derandomize=True, deadline=None, max_examples=100)
@given(event_lists)
def test_fewer_actions_of_a_history_are_its_newest(events: list[Event]) -> None:
    state = folded(events)
    everything = state.history(1000)
    for num in range(state.num_actions + 2):
        first, newest = max(0, state.num_actions - num), state.history(num)
        assert newest.keys.tolist() == everything.keys[first:].tolist()
        assert newest.times_s.tolist() == everything.times_s[first:].tolist()
        assert newest.actions.tolist() == everything.actions[first:].tolist()


def test_shown_items_are_counted_while_they_are_among_the_last_shown() -> None:
    state = folded([shown(1, "a", "b"), shown(2, "b", "c")])
    assert state.shown_counts(item_keys(["a", "b", "c", "d"])).tolist() == [1, 2, 1, 0]
    assert state.max_shown_count == 2
    state = fold(state, shown(3, "d", "e"), SMALL_RULES).state
    assert state.shown_counts(item_keys(["a", "b", "c", "d", "e"])).tolist() == [0, 2, 1, 1, 1]


def test_a_shown_count_stops_at_255() -> None:
    state = folded([shown(number, "a") for number in range(300)], rules=RULES)
    assert state.shown_counts(item_keys(["a"])).tolist() == [255]
    assert state.max_shown_count == 255


@settings(derandomize=True, deadline=None, max_examples=200)
@given(event_lists, st.integers(1, 6))
def test_previous_positive_items_are_those_of_the_history(events: list[Event], num: int) -> None:
    state = folded(events)
    history = state.history(1000)
    positive = [
        key
        for key, code in zip(history.keys.tolist(), history.actions.tolist(), strict=True)
        if key and TABLE.spec_of_code(code).effect is Effect.POSITIVE
    ]
    assert state.previous_positive_keys(num, TABLE) == list(dict.fromkeys(positive[::-1]))[:num]


def test_previous_positive_items_come_newest_first_each_once() -> None:
    state = folded(
        [
            action(1, "i1"),
            action(2, "i2", "like"),
            action(3, "i3", "view"),
            action(4, "i1"),
            action(5, None),
        ]
    )
    assert state.previous_positive_keys(3, TABLE) == [item_key("i1"), item_key("i2")]
    assert state.previous_positive_keys(1, TABLE) == [item_key("i1")]
    assert EMPTY_STATE.previous_positive_keys(3, TABLE) == []


def test_masks_of_a_new_user_are_empty() -> None:
    keys = item_keys(["a", "b"])
    fresh = UserState()
    assert not fresh.acted_mask(keys).any()
    assert not fresh.hidden_mask(keys).any()
    assert not fresh.shown_counts(keys).any()
    assert fresh.max_shown_count == 0


def test_positive_actions_on_an_item_are_counted_from_a_moment_on() -> None:
    state = folded(
        [
            action(0, "a"),
            action(60, "b"),
            action(61, "a", "search"),
            action(120, "a"),
            action(180, "a"),
        ]
    )
    start_s = START_MS // 1000

    def most(item_id: str, since_s: int) -> int:
        key, nums = item_key(item_id), range(1, 9)
        return sum(state.has_repeated(key, num, since_s, TABLE) for num in nums)

    assert most("a", start_s) == 3
    assert most("a", start_s + 1) == 2
    assert most("a", start_s + 121) == 1
    assert most("a", start_s + 181) == 0
    assert most("b", start_s) == 1
    assert most("z", start_s) == 0
    assert not EMPTY_STATE.has_repeated(item_key("a"), 1, 0, TABLE)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(event_lists, st.integers(1, 4))
def test_an_item_is_repeated_where_its_history_says_so(events: list[Event], num: int) -> None:
    state = folded(events)
    keys, times_s, codes = (column.tolist() for column in state.history(1000))
    recent = list(zip(keys, times_s, codes, strict=True))
    for since_s in {time_s + apart for time_s in times_s for apart in (0, 1)}:
        held = Counter(
            key
            for key, time_s, code in recent
            if time_s >= since_s and code in TABLE.positive_codes
        )
        for key in {item_key("never"), *keys}:
            assert state.has_repeated(key, num, since_s, TABLE) is (held[key] >= num)
