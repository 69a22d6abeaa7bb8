from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore.events import Action, Event, Impression, Visit, decode_event, encode_event
from streams.convert import trivago_events

LOG = Path("../shared/data/trivago_100k.parquet")
COLUMNS = [
    "user_id",
    "session_id",
    "timestamp",
    "step",
    "action_type",
    "reference",
    "platform",
    "city",
    "device",
    "impressions",
    "prices",
]


@pytest.fixture
def events(tmp_path: Path) -> list[Event]:
    where = ("DE", "Bonn", "mobile")
    frame = pl.DataFrame(
        [
            ("u", "s", 5, 3, "clickout item", "12", *where, "11|12", "70|65"),
            ("u", "s", 5, 2, "interaction item image", "12", *where, None, None),
            ("u", "s", 4, 1, "search for poi", "Beethoven House", *where, None, None),
            ("u", "t", 9, 1, "search for item", "13", *where, None, None),
        ],
        schema=COLUMNS,
        orient="row",
    )
    frame.write_parquet(tmp_path / "log.parquet")
    return list(trivago_events(tmp_path / "log.parquet"))


def test_rows_come_by_time_session_and_step_with_a_visit_per_session(events: list[Event]) -> None:
    assert [(type(event).__name__, event.ts_ms) for event in events] == [
        ("Visit", 4_000),
        ("Action", 4_000),
        ("Action", 5_000),
        ("Impression", 5_000),
        ("Action", 5_000),
        ("Visit", 9_000),
        ("Action", 9_000),
    ]


def test_a_clickout_is_an_impression_and_the_click_that_echoes_it(events: list[Event]) -> None:
    impression, click = events[3], events[4]

    assert isinstance(impression, Impression)
    assert isinstance(click, Action)
    assert [(item.item_id, item.position, item.features) for item in impression.items] == [
        ("11", 1, {"price": 70.0}),
        ("12", 2, {"price": 65.0}),
    ]
    assert click.action == "click"
    assert click.item_id == "12"
    assert click.request_id == impression.request_id


def test_only_references_to_hotels_are_items(events: list[Event]) -> None:
    actions = [event for event in events if isinstance(event, Action)]

    assert [(action.action, action.item_id, action.query) for action in actions] == [
        ("search", None, "Beethoven House"),
        ("view", "12", None),
        ("click", "12", None),
        ("search", "13", None),
    ]


@pytest.mark.skipif(not LOG.exists(), reason=f"the real log {LOG} is not here")
def test_the_real_log_gives_valid_events() -> None:
    counts: dict[type, int] = {}
    ids: set[str] = set()
    for event in trivago_events(LOG):
        assert decode_event(encode_event(event)) == event
        counts[type(event)] = counts.get(type(event), 0) + 1
        ids.add(event.event_id)

    assert counts[Impression] == 13_597
    assert counts[Action] == 100_003
    assert counts[Visit] == 7_612
    assert len(ids) == sum(counts.values())
