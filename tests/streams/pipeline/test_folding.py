"""Folding a chunk: what is captured, and that chunk boundaries do not matter."""

import pytest

from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.events import Event, UserId
from featurestore.fold import FoldRules
from featurestore.state import EMPTY_STATE
from streams.engine import Record
from streams.pipeline.decoding import DecodedEvent
from streams.pipeline.folding import fold_chunk
from tests.streams.stream_events import START_MS, click, shown, visit

RULES = FoldRules(table=ActionTable.of(DEFAULT_ACTIONS))


def decoded(*events: Event) -> list[DecodedEvent]:
    return [
        DecodedEvent(Record(offset=offset, key=None, value=b"", append_ms=event.ts_ms), event)
        for offset, event in enumerate(events)
    ]


def test_an_impression_is_seen_on_the_state_just_before_it() -> None:
    events = decoded(
        click("u1", "i1", START_MS), shown("u1", START_MS + 1), click("u1", "i2", START_MS + 2)
    )

    steps = fold_chunk(events, {}, RULES, 3).steps

    assert steps[1].before.num_actions == 1
    assert steps[1].before.shown == b""
    assert steps[1].after.shown != b""
    assert steps[2].before is steps[1].after


def test_a_repeated_delivery_counts_once_and_leaves_no_step() -> None:
    events = decoded(
        click("u1", "i1", START_MS, event_id="e"), click("u1", "i1", START_MS, event_id="e")
    )

    chunk = fold_chunk(events, {}, RULES, 3)

    assert len(chunk.steps) == 1
    assert chunk.outcomes == {("action", "ok"): 1, ("action", "duplicate"): 1}


def test_a_late_event_counts_where_it_stands() -> None:
    events = decoded(visit("u1", START_MS), click("u1", "i1", START_MS - 60_000))

    chunk = fold_chunk(events, {}, RULES, 3)

    assert chunk.outcomes == {("visit", "ok"): 1, ("action", "late"): 1}
    assert chunk.steps[1].after.clock_ms == START_MS


def test_the_trigger_is_the_last_action_or_visit_and_never_an_impression() -> None:
    events = decoded(
        visit("u1", START_MS),
        click("u2", "i1", START_MS),
        click("u1", "i1", START_MS + 1),
        shown("u1", START_MS + 2),
        shown("u3", START_MS),
    )

    chunk = fold_chunk(events, {}, RULES, 3)

    assert [(step.event.user_id, step.record.offset) for step in chunk.triggers] == [
        ("u2", 1),
        ("u1", 2),
    ]
    assert chunk.triggers[1].after != chunk.states[UserId("u1")]


@pytest.mark.parametrize("cut", range(1, 6))
def test_chunk_boundaries_do_not_change_states(cut: int) -> None:
    events = decoded(
        visit("u1", START_MS),
        click("u1", "i1", START_MS + 1),
        shown("u1", START_MS + 2),
        click("u2", "i1", START_MS + 3),
        click("u1", "i2", START_MS),
        visit("u2", START_MS + 9),
    )
    whole = fold_chunk(events, {}, RULES, 3).states

    first = fold_chunk(events[:cut], {}, RULES, 3).states
    second = fold_chunk(events[cut:], first, RULES, 3).states

    assert {**first, **second} == whole


def test_a_known_user_goes_on_from_the_given_state() -> None:
    known = fold_chunk(decoded(click("u1", "i1", START_MS)), {}, RULES, 3).states

    chunk = fold_chunk(decoded(click("u1", "i2", START_MS + 1)), known, RULES, 3)

    assert chunk.steps[0].before is known[UserId("u1")]
    assert chunk.states[UserId("u1")].num_actions == 2
    assert fold_chunk(decoded(visit("u9", 1)), known, RULES, 3).steps[0].before is EMPTY_STATE
