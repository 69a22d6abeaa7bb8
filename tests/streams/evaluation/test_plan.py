from __future__ import annotations

import numpy as np
import pytest

from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.events import Action, Event, ItemId, UserId, Visit, encode_event
from streams.evaluation.plan import Plan, Start, plan

ACTIONS = ActionTable.of(DEFAULT_ACTIONS)


def visit(user: str, ts_ms: int) -> Event:
    return Visit(event_id=f"v{ts_ms}", user_id=UserId(user), ts_ms=ts_ms)


def action(user: str, ts_ms: int, name: str = "click", item: str | None = "i") -> Event:
    return Action(
        event_id=f"a{ts_ms}",
        user_id=UserId(user),
        ts_ms=ts_ms,
        action=name,
        item_id=None if item is None else ItemId(item),
    )


def planned(events: list[Event], start: Start, *, sample: float = 1.0, seed: int = 7) -> Plan:
    return plan(map(encode_event, events), ACTIONS, start, sample=sample, seed=seed)


EVENTS = [
    visit("u", 1),
    action("u", 2),
    action("v", 3),
    action("u", 4, "view"),
    action("v", 5),
    action("u", 6),
    action("u", 7, item=None),
]


def test_label_actions_from_the_start_on_are_evaluated() -> None:
    found = planned(EVENTS, Start(ts_ms=5))

    assert np.flatnonzero(found.is_asked).tolist() == [4, 5]
    assert (found.first, found.first_ms, found.num_events) == (4, 5, 7)


def test_lists_of_the_events_before_them_are_read() -> None:
    found = planned(EVENTS, Start(ts_ms=5))

    assert np.flatnonzero(found.is_read).tolist() == [2, 3]


def test_a_user_without_an_earlier_event_reads_no_list_of_their_own() -> None:
    found = planned(EVENTS, Start(fraction=0.0))

    assert np.flatnonzero(found.is_asked).tolist() == [1, 2, 4, 5]
    assert np.flatnonzero(found.is_read).tolist() == [0, 2, 3]


def test_fraction_is_of_the_events() -> None:
    assert planned(EVENTS, Start(fraction=0.5)).first == 3


def test_sample_is_the_published_one() -> None:
    events = [action("u", n + 1) for n in range(200)]
    found = planned(events, Start(fraction=0.25), sample=0.1, seed=7)

    chosen = np.random.default_rng(7).random(150) < 0.1
    assert np.flatnonzero(found.is_asked).tolist() == (50 + np.flatnonzero(chosen)).tolist()


def test_lines_that_are_no_events_keep_their_places() -> None:
    values = [b"{", b"\xff", *map(encode_event, EVENTS)]
    found = plan(values, ACTIONS, Start(ts_ms=5), sample=1.0, seed=7)

    assert np.flatnonzero(found.is_asked).tolist() == [6, 7]


def test_a_start_after_the_end_evaluates_nothing() -> None:
    found = planned(EVENTS, Start(ts_ms=100))

    assert (found.first, found.first_ms) == (7, None)
    assert not found.is_asked.any()


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "1.5"])
def test_a_start_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a fraction"):
        Start.parse(text)
