"""The control that knows when an action comes: it is told the time, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gap_control import METRICS, commonest_gap, pair, with_moments
from featurestore.events import Event, Visit
from streams.config import Config
from streams.evaluation.outcomes import int32
from streams.event_file import write_events
from tests.streams.evaluation.test_evaluate import run, shop, written
from tests.streams.stream_events import START_MS, click, shown, visit

TABLE = Config().action_table()


def moments(*events: Event) -> list[Event]:
    return [event for event in with_moments(events, TABLE) if event not in events]


def test_a_visit_tells_the_time_of_a_label_action_and_what_was_known_before_it() -> None:
    before = click("u", "a", START_MS, context={"device": "phone"})
    after = click("u", "b", START_MS + 30_000, context={"device": "tablet"})
    [moment] = moments(before, click("v", "a", START_MS + 9), after)

    assert isinstance(moment, Visit)
    assert (moment.user_id, moment.ts_ms, moment.context) == ("u", after.ts_ms, before.context)
    assert list(with_moments([before, after], TABLE)) == [before, moment, after]


def test_there_is_none_where_nothing_is_known_of_the_user_or_the_time_is_known_already() -> None:
    assert moments(click("u", "a", START_MS)) == []
    assert moments(visit("u", START_MS), click("u", "a", START_MS)) == []


def test_the_commonest_gap_is_of_what_the_control_is_told() -> None:
    # Of three gaps two are alike; `v` opens with a visit, which tells its time.
    times_ms = (0, 30_000, 60_000, 61_000)
    events: list[Event] = [click("u", f"i{ms}", START_MS + ms) for ms in times_ms]
    events += [visit("v", START_MS), click("v", "a", START_MS)]

    assert commonest_gap(list(with_moments(events, TABLE))) == (30_000, 2 / 3)
    assert commonest_gap(events) == (0, 0.0)


def test_what_is_no_label_action_has_none() -> None:
    later_ms = START_MS + 1_000
    others = (shown("u", later_ms), visit("u", later_ms), click("u", "a", later_ms, action="view"))
    for other in others:
        assert moments(click("u", "a", START_MS), other) == []


def test_a_control_is_held_against_the_log_on_the_same_actions(tmp_path: Path) -> None:
    events = [event for event in shop(300) if not isinstance(event, Visit)]
    begin = str(events[len(events) // 2].ts_ms)
    control = tmp_path / "control.jsonl"
    write_events(control, with_moments(events, TABLE))
    of_log = run(written(tmp_path, events), start=begin, sample=0.5)
    of_control = run(control, start=begin, sample=0.5)
    as_it_is, told = pair(of_log, of_control)

    assert of_control.cost.events > of_log.cost.events
    assert len(int32(of_control.outcomes.actions.event)) == of_log.next_item.evaluated
    assert as_it_is.figures["asked HR@20"].value == of_log.next_item.asked.hr_20
    assert told.figures["asked HR@20"].value == of_control.next_item.asked.hr_20
    assert set(METRICS) <= set(told.differences)
    with pytest.raises(ValueError, match="expected the same ones"):
        pair(of_log, run(control, start=begin, sample=0.9))
