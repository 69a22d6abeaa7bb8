"""Watch times from the event to the ranker that predicts them, and logs that have none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.events import Action, Event, Impression, ItemId, ShownItem, UserId, encode_event
from models.policies.place_chances import PlackettLuce
from streams.cli import _headrace
from streams.config import config_of
from streams.evaluation.evaluate import Evaluation, evaluate
from streams.evaluation.off_policy import OffPolicy, evaluate_policies
from streams.evaluation.plan import Start
from streams.evaluation.result import Result
from streams.evaluation.watch_times import NoWatchTimes, check_watch_times
from streams.event_file import write_events
from streams.finished_log import LogValues
from tests.streams.explored import UNIFORM_VALUE, explored_log
from tests.streams.stream_events import START_MS, click

TABLE = ActionTable.of(DEFAULT_ACTIONS)
RANKERS = ["watch_time", "slate"]


def watched_log(num_slates: int, seed: int = 3) -> Iterator[Event]:
    """Yield slates of four: the dearer an item, the seldomer it is clicked and the longer watched.

    A click on the cheapest is watched for 5 s, one on the dearest for 400 s.
    """
    draws = np.random.default_rng(seed)
    prices = np.array([10.0, 20.0, 40.0, 80.0])
    chances, watched_s = np.array([0.4, 0.3, 0.2, 0.1]), np.array([5.0, 20.0, 90.0, 400.0])
    for number in range(num_slates):
        user, ts_ms = UserId(f"u{draws.integers(60)}"), START_MS + 20_000 * number
        kinds = draws.permutation(4)
        items = [ItemId(f"i{kind}-{draws.integers(20)}") for kind in kinds]
        yield Impression(
            event_id=f"e{number}",
            user_id=user,
            ts_ms=ts_ms,
            request_id=f"r{number}",
            items=tuple(
                ShownItem(item_id=item, position=place, features={"price": float(prices[kind])})
                for place, (item, kind) in enumerate(zip(items, kinds, strict=True), start=1)
            ),
        )
        if draws.random() < 0.5:
            continue
        at = int(draws.choice(4, p=chances[kinds]))
        yield Action(
            event_id=f"c{number}",
            user_id=user,
            ts_ms=ts_ms + 500,
            action="click",
            item_id=items[at],
            request_id=f"r{number}",
            value=float(watched_s[kinds[at]] * draws.uniform(0.5, 1.5)),
        )


def evaluated(tmp_path: Path, events: list[Event]) -> Result:
    write_events(tmp_path / "events.jsonl", events)
    config = config_of({"evaluation": {"rankers": RANKERS}})
    asked = Evaluation(path=tmp_path / "events.jsonl", start=Start(fraction=0.5), sample=0.0)
    return evaluate(asked, config)


def test_the_ranker_of_watch_times_orders_by_them_and_others_by_clicks(tmp_path: Path) -> None:
    result = evaluated(tmp_path, list(watched_log(1_200)))
    longest, clicked = result.rankers["watch_time"], result.rankers["slate"]

    assert longest.watched.mispredicted is not None
    assert clicked.watched.mispredicted is not None
    assert longest.watched.mispredicted < 0.3
    assert clicked.watched.mispredicted > 0.5
    assert longest.watched.calibration == pytest.approx(1.0, abs=0.3)
    assert clicked.watched.calibration is None
    assert (longest.ne, longest.logloss, longest.calibration) == (None, None, None)
    assert longest.mrr is not None
    assert clicked.mrr is not None
    assert longest.mrr < clicked.mrr
    assert longest.watched.slates == longest.slates
    assert longest.watched.unknown == 0


def test_compared_rankers_are_printed_with_what_they_cost(tmp_path: Path) -> None:
    write_events(tmp_path / "events.jsonl", list(watched_log(100)))
    rankers = 'evaluation.rankers=["watch_time", "wide_deep"]'
    arguments = ["evaluate", str(tmp_path / "events.jsonl"), "--set", rankers]
    done = CliRunner().invoke(_headrace, arguments)

    assert done.exit_code == 0, (done.output, done.exception)
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("│") for line in done.output.splitlines())
        # The table of sources is as wide.
        if len(cells) == 9 and cells[1].strip() in ("watch_time", "wide_deep")
    }
    assert list(rows) == ["watch_time", "wide_deep"]
    entropy, *others = rows["watch_time"]
    assert entropy == "-"
    assert all(float(figure) >= 0 for figure in (*others, *rows["wide_deep"]))


def test_slates_whose_watch_time_is_unknown_are_counted_and_not_judged(tmp_path: Path) -> None:
    events = [
        msgspec.structs.replace(event, value=None)
        if isinstance(event, Action) and event.event_id.endswith("0")
        else event
        for event in watched_log(300)
    ]
    clicked = {event.request_id for event in events if isinstance(event, Action)}
    unknown = {
        event.request_id for event in events if isinstance(event, Action) and event.value is None
    }
    shown = [
        event.request_id for event in events[len(events) // 2 :] if isinstance(event, Impression)
    ]

    found = evaluated(tmp_path, events).rankers["watch_time"]
    assert unknown < clicked
    assert found.watched.unknown == len(unknown.intersection(shown)) > 0
    assert found.watched.slates == len(shown) - found.watched.unknown


def test_a_log_without_watch_times_is_refused_before_anything_is_replayed(tmp_path: Path) -> None:
    with pytest.raises(NoWatchTimes, match=r"no value in any of 5 label actions \(click\)") as told:
        evaluated(tmp_path, [click("u", "a", START_MS + number) for number in range(5)])
    assert "ranker watch_time" in str(told.value)


def test_negative_watch_times_are_refused_with_their_event() -> None:
    events = [
        msgspec.structs.replace(click("u", "a"), event_id=name, value=value)
        for name, value in (("good", 3.0), ("bad", -1.5))
    ]
    with pytest.raises(NoWatchTimes, match=r"value -1\.5 in action 'bad'"):
        check_watch_times(["watch_time"], map(encode_event, events), TABLE)


def test_only_label_actions_on_items_tell_watch_times() -> None:
    dwell = msgspec.structs.replace(click("u", "a", action="dwell"), value=30.0)
    searched = msgspec.structs.replace(click("u", None), value=30.0)
    with pytest.raises(NoWatchTimes, match="no value in any of 1 label actions"):
        check_watch_times(
            ["watch_time"], map(encode_event, [dwell, searched, click("u", "a")]), TABLE
        )


def test_what_is_no_event_is_passed_over_and_other_rankers_need_no_watch_times() -> None:
    watched = msgspec.structs.replace(click("u", "a"), value=30.0)
    check_watch_times(["watch_time"], [b"nothing", b"\xff", encode_event(watched)], TABLE)
    check_watch_times(["slate", "wide_deep"], [b"nothing"], TABLE)


def test_policies_of_the_new_rankers_earn_more_than_chance() -> None:
    """The same click teaches both; the ranker of watch times learns from its value."""
    events = [
        msgspec.structs.replace(event, value=60.0) if isinstance(event, Action) else event
        for event in explored_log(700)
    ]
    values = [encode_event(event) for event in events]
    drawn = PlackettLuce(0.25)
    asked = OffPolicy(policies=("wide_deep", "watch_time"), candidates="all", drawn=drawn)
    config = config_of({}, {}, ["attribution.after_click_ms=1000"])
    result = evaluate_policies(asked, LogValues("log", lambda: values), config)
    for name in asked.policies:
        assert result.policies[name].estimates["snips"].value > 1.2 * UNIFORM_VALUE


def test_a_policy_of_watch_times_needs_a_log_that_has_them() -> None:
    values = [encode_event(event) for event in explored_log(20)]
    with pytest.raises(NoWatchTimes, match="expected the watch time there"):
        evaluate_policies(
            OffPolicy(policies=("watch_time",)), LogValues("log", lambda: values), config_of({})
        )
