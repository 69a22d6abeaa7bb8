"""The control that is told how long a slate was looked at: it is told that, and nothing else."""

from benchmarks.impression_gap import with_gaps
from featurestore.events import Event, Impression
from tests.streams.stream_events import START_MS, click, shown, visit


def gaps(*events: Event) -> list[object]:
    told = [event for event in with_gaps(events) if isinstance(event, Impression)]
    return [(event.context or {}).get("gap") for event in told]


def test_the_gap_is_from_the_users_last_action_in_powers_of_two_seconds() -> None:
    before = click("u", "a", START_MS)
    for gap_ms, expected in ((0, 0), (999, 0), (1000, 1), (2000, 2), (3999, 2), (60_000, 6)):
        later = shown("u", START_MS + gap_ms)
        assert gaps(before, click("v", "a", START_MS + gap_ms), later) == [expected]


def test_visits_and_other_impressions_end_no_gap_and_a_clock_set_back_is_none() -> None:
    events = click("u", "a", START_MS), visit("u", START_MS + 4000), shown("u", START_MS + 5000)
    assert gaps(*events, shown("u", START_MS + 9000), shown("u", START_MS - 9000)) == [3, 4, 0]


def test_nothing_else_is_told() -> None:
    events: list[Event] = [shown("u", START_MS), click("u", "a", START_MS + 1), visit("u")]
    assert list(with_gaps(events)) == events
