"""The fold: a user's state is a pure function of the events, within its bounds."""

import dataclasses
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.actions import ActionSpec, ActionTable, Effect
from featurestore.codec import encode_state
from featurestore.events import Event, UserId
from featurestore.fold import NUM_EVENT_MARKS, FoldRules, Outcome, fold
from featurestore.gaps import MAX_GAP_S
from featurestore.keys import item_key, item_keys
from featurestore.state import EMPTY_STATE
from featurestore.state_layout import edges_of
from tests.featurestore.slow_fold import EMPTY, slow_encode, slow_fold
from tests.featurestore.user_events import (
    DAY_MS,
    RULES,
    SMALL_RULES,
    START_MS,
    TABLE,
    action,
    event_lists,
    folded,
    shown,
    visit,
)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(event_lists, st.data())
def test_the_fold_does_not_depend_on_where_the_stream_is_cut(
    events: list[Event], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    in_one = folded(events)
    resumed = folded(events[cut:], folded(events[:cut]))
    assert encode_state(resumed) == encode_state(in_one)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(event_lists)
def test_the_fold_is_that_of_its_specification_byte_for_byte(events: list[Event]) -> None:
    assert_folded_as_specified(events)


def test_the_fold_of_a_long_life_is_that_of_its_specification() -> None:
    generator = random.Random(7)
    events: list[Event] = []
    now_ms = START_MS
    for number in range(5000):
        now_ms += generator.choice([0, 1000, 31 * 60_000, DAY_MS // 4, DAY_MS // 2, 2 * DAY_MS])
        item_id = f"i{generator.randrange(12)}"
        name = generator.choice(["click", "like", "like", "hide", "search"])
        one = action(number, item_id, name, ts_ms=now_ms)
        events.append(visit(number, ts_ms=now_ms) if generator.random() < 0.1 else one)
    assert_folded_as_specified(events)


def assert_folded_as_specified(events: list[Event]) -> None:
    """Hold each step's bytes, outcome and figures against the specification."""
    state, specified = EMPTY_STATE, EMPTY
    for event in events:
        folded_ = fold(state, event, SMALL_RULES)
        state = folded_.state
        specified, outcome = slow_fold(specified, event, SMALL_RULES)
        assert (state.value, folded_.outcome) == (slow_encode(specified), outcome)
        assert folded_.clock_ms == state.clock_ms
        assert folded_.session_num_actions == state.session_num_actions


@settings(derandomize=True, deadline=None, max_examples=50)
@given(event_lists)
def test_delivering_an_event_again_changes_nothing(events: list[Event]) -> None:
    rules = dataclasses.replace(SMALL_RULES, horizon_ms=30 * DAY_MS)
    state = folded(events, rules=rules)
    for event in events[-5:]:
        again = fold(state, event, rules)
        assert again.outcome is Outcome.DUPLICATE
        assert again.state is state


@settings(derandomize=True, deadline=None, max_examples=50)
@given(event_lists)
def test_the_caps_and_the_horizon_hold_after_every_event(events: list[Event]) -> None:
    state = EMPTY_STATE
    for event in events:
        before, state = state, fold(state, event, SMALL_RULES).state
        assert state.clock_ms >= before.clock_ms
        assert state.num_actions <= SMALL_RULES.max_actions
        held = state.header
        assert held.num_seen <= SMALL_RULES.max_seen
        assert held.num_hidden <= SMALL_RULES.max_hidden
        assert held.num_shown <= SMALL_RULES.max_shown
        times_s = state.history(SMALL_RULES.max_actions).times_s
        assert (np.diff(times_s) >= 0).all()
        assert (times_s * 1000 >= state.clock_ms - SMALL_RULES.horizon_ms - 1000).all()
        assert (times_s * 1000 <= state.clock_ms).all()
        assert held.span_s == (times_s[-1] - times_s[0] if len(times_s) else 0)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(event_lists, event_lists)
def test_a_silence_beyond_the_horizon_leaves_nothing_of_what_was_before(
    old: list[Event], recent: list[Event]
) -> None:
    """Old and recent events stand further apart than the horizon: nothing of the old stays."""
    if not recent:
        return
    moved = [
        msgspec.structs.replace(
            event, ts_ms=event.ts_ms + 20 * DAY_MS, event_id=f"{event.event_id}-moved"
        )
        for event in recent
    ]
    full, rebuilt = folded([*old, *moved]), folded(moved)
    assert encode_state(full) == encode_state(rebuilt)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(event_lists)
def test_a_log_cut_at_the_horizon_rebuilds_what_is_held(events: list[Event]) -> None:
    """Actions, hidden and seen items; only marks, sessions and shown items may reach back."""
    events = [
        msgspec.structs.replace(event, event_id=f"e{number}") for number, event in enumerate(events)
    ]
    full, clocks_ms = EMPTY_STATE, []
    for event in events:
        full = fold(full, event, SMALL_RULES).state
        clocks_ms.append(full.clock_ms)
    earliest_ms = full.clock_ms - SMALL_RULES.horizon_ms
    kept = [event for event, at_ms in zip(events, clocks_ms, strict=True) if at_ms >= earliest_ms]
    rebuilt = folded(kept)
    assert full.actions == rebuilt.actions
    # Hidden and seen items are the last columns, with their days.
    assert (
        full.value[edges_of(full.value).hidden_at :]
        == (rebuilt.value[edges_of(rebuilt.value).hidden_at :])
    )


def test_shown_items_are_forgotten_with_the_horizon_though_the_user_stays() -> None:
    state = folded([shown(1, "a"), visit(2, ts_ms=START_MS + 2 * DAY_MS)])
    assert state.shown_counts(item_keys(["a"])).tolist() == [1]
    state = fold(state, visit(3, ts_ms=START_MS + 3 * DAY_MS + 2000), SMALL_RULES).state
    assert state.shown == b""


def test_a_repeated_event_id_counts_once_among_the_last_64() -> None:
    state = folded([visit(number) for number in range(NUM_EVENT_MARKS)], rules=RULES)
    assert fold(state, visit(0, ts_ms=START_MS + 10**6), RULES).outcome is Outcome.DUPLICATE
    state = fold(state, visit(64), RULES).state
    assert fold(state, visit(0, ts_ms=START_MS + 10**6), RULES).outcome is Outcome.OK


def test_a_late_event_counts_at_the_users_clock_which_stays() -> None:
    state = folded([action(10, "i1")])
    late = fold(state, action(5, "i2"), SMALL_RULES)
    after = late.state
    assert late.outcome is Outcome.LATE
    assert after.clock_ms == state.clock_ms
    history = after.history(5)
    assert history.keys.tolist() == [item_key("i1"), item_key("i2")]
    assert history.times_s.tolist() == [(START_MS + 10_000) // 1000] * 2


def test_an_evicted_positive_item_is_remembered_as_seen_and_a_neutral_one_is_not() -> None:
    events = [action(0, "old"), action(1, "looked", "view"), action(2, None, "search")]
    state = folded([*events, *(action(n, f"i{n}") for n in range(3, 8))])
    assert state.acted_mask(item_keys(["old", "looked", "i3", "i7", "other"])).tolist() == [
        True,
        False,
        True,
        True,
        False,
    ]
    assert state.header.num_seen == 1


def test_a_hidden_item_is_known_as_hidden_until_the_horizon() -> None:
    state = folded([action(1, "bad", "hide"), action(2, None, "hide"), action(3, "good")])
    assert state.hidden_mask(item_keys(["bad", "good"])).tolist() == [True, False]
    later = fold(state, visit(4, ts_ms=START_MS + 2 * DAY_MS), SMALL_RULES).state
    assert later.hidden_mask(item_keys(["bad"])).tolist() == [True]
    last = fold(later, visit(5, ts_ms=START_MS + 3 * DAY_MS + 2000), SMALL_RULES).state
    assert last.hidden_mask(item_keys(["bad"])).tolist() == [False]


@pytest.mark.parametrize(
    ("first", "second", "begins"),
    [
        ({"session_id": "s1"}, {"session_id": "s1"}, False),
        ({"session_id": "s1"}, {"session_id": "s2"}, True),
        ({"session_id": "s1"}, {}, False),
        ({}, {"session_id": "s1"}, False),
        ({}, {}, False),
        ({}, {"ts_ms": START_MS + 31 * 60_000}, True),
        ({}, {"ts_ms": START_MS + 29 * 60_000}, False),
        ({"session_id": "s1"}, {"session_id": "s1", "ts_ms": START_MS + 31 * 60_000}, False),
        ({"session_id": "s1"}, {"ts_ms": START_MS + 31 * 60_000}, True),
    ],
)
def test_a_session_ends_with_its_id_or_without_one_by_silence(
    first: dict[str, Any], second: dict[str, Any], *, begins: bool
) -> None:
    state = folded([action(0, **first), action(1, **second)])
    assert state.session_num_actions == (1 if begins else 2)
    assert len(state.session_history().keys) == state.session_num_actions
    assert (state.session_start_ms == START_MS) is not begins


def test_a_late_event_does_not_reopen_an_earlier_session() -> None:
    state = folded([action(5, session_id="s1"), action(10, session_id="s2")])
    late = fold(state, action(6, session_id="s1"), SMALL_RULES).state
    assert late.session_start_ms == START_MS + 10_000
    assert late.session_num_actions == 2


def test_a_silence_longer_than_the_horizon_forgets_the_user() -> None:
    state = folded([action(1), shown(2, "a"), action(3, "b", "hide")])
    newest = visit(4, ts_ms=START_MS + 4 * DAY_MS)
    assert folded([newest], state) == folded([newest])


def test_the_fold_version_names_the_rules() -> None:
    assert RULES.version == FoldRules(table=TABLE).version
    assert RULES.version != SMALL_RULES.version
    other = ActionTable.of([ActionSpec(name="click", code=1, weight=9.0, effect=Effect.NEUTRAL)])
    assert FoldRules(table=other).version != RULES.version


def test_rules_that_states_cannot_hold_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"max_actions is 0.*max_shown is 300.*horizon_ms"):
        dataclasses.replace(RULES, max_actions=0, max_shown=300, horizon_ms=(MAX_GAP_S + 1) * 1000)


def test_a_user_of_another_id_has_the_same_state_from_the_same_events() -> None:
    mine = folded([action(1)])
    theirs = folded([msgspec.structs.replace(action(1), user_id=UserId("other"))])
    assert mine == theirs
