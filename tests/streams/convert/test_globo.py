from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore.events import Action, Visit
from streams.convert import globo_events

LOG = Path("../shared/data/globo_clicks_first4days.parquet")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [(7, 100, 1, 2_000), (5, 200, 2, 2_000), (7, 100, 3, 1_000), (5, 201, 2, 9_000)]
    frame = pl.DataFrame(
        rows,
        schema=["user_id", "session_id", "click_article_id", "click_timestamp"],
        orient="row",
    ).with_columns(
        pl.lit(1).alias("click_environment"),
        pl.lit(3).alias("click_deviceGroup"),
        pl.lit(2).alias("click_os"),
        pl.lit(None, dtype=pl.Int8).alias("click_country"),
        pl.lit(21).alias("click_region"),
        pl.lit(5).alias("click_referrer_type"),
    )
    frame.write_parquet(tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def test_events_come_by_time_then_user_with_a_visit_per_session(path: Path) -> None:
    events = list(globo_events(path))

    assert [
        (event.ts_ms, event.user_id, getattr(event, "item_id", "visit")) for event in events
    ] == [
        (1_000, "7", "visit"),
        (1_000, "7", "3"),
        (2_000, "5", "visit"),
        (2_000, "5", "2"),
        (2_000, "7", "1"),
        (9_000, "5", "visit"),
        (9_000, "5", "2"),
    ]


def test_events_carry_session_and_known_context(path: Path) -> None:
    visit, click, *_ = globo_events(path)

    assert isinstance(visit, Visit)
    assert isinstance(click, Action)
    assert (click.action, click.session_id) == ("click", "100")
    assert click.context == visit.context
    assert click.context == {
        "environment": "1",
        "device": "3",
        "os": "2",
        "region": "21",
        "referrer": "5",
    }


def test_event_ids_are_unique_and_the_same_every_time(path: Path) -> None:
    ids = [event.event_id for event in globo_events(path)]

    assert len(set(ids)) == len(ids)
    assert ids == [event.event_id for event in globo_events(path)]


@pytest.mark.skipif(not LOG.exists(), reason=f"the real log {LOG} is not here")
def test_the_real_log_keeps_every_click() -> None:
    num_clicks, last = 0, (0, -1)
    for event in globo_events(LOG):
        assert (event.ts_ms, int(event.user_id)) >= last
        last = (event.ts_ms, int(event.user_id))
        num_clicks += isinstance(event, Action)

    assert num_clicks == 900_695
