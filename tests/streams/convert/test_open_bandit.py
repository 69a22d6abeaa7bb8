from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.events import Action, Event, Impression, decode_event, encode_event
from streams.convert import open_bandit_events

LOG = Path("../shared/data/open_bandit")
HEADER = (
    ",timestamp,item_id,position,click,propensity_score,"
    "user_feature_0,user_feature_1,user_feature_2,user_feature_3,user-item_affinity_0\n"
)
LATER = "0,2019-11-24 00:00:02.500000+00:00,14,3,1,0.25,a,b,c,d,0.0\n"
EARLIER = "1,2019-11-24 00:00:01+00:00,7,1,0,0.0125,a,b,c,e,1.0\n"


def events_of(tmp_path: Path, *lines: str) -> list[Event]:
    path = tmp_path / "bts.csv"
    path.write_text(HEADER + "".join(lines))
    return list(open_bandit_events(path))


def test_a_row_is_a_slate_of_one_with_its_place_and_propensity(tmp_path: Path) -> None:
    first, second, _ = events_of(tmp_path, LATER, EARLIER)

    assert isinstance(first, Impression)
    assert isinstance(second, Impression)
    assert (first.ts_ms, second.ts_ms) == (1_574_553_601_000, 1_574_553_602_500)
    assert [(item.item_id, item.position, item.propensity) for item in second.items] == [
        ("14", 3, 0.25)
    ]
    assert first.context == {
        "user_feature_0": "a",
        "user_feature_1": "b",
        "user_feature_2": "c",
        "user_feature_3": "e",
    }
    assert first.user_id != second.user_id


def test_a_click_follows_and_names_its_slate(tmp_path: Path) -> None:
    *_, shown, click = events_of(tmp_path, EARLIER, LATER)

    assert isinstance(shown, Impression)
    assert isinstance(click, Action)
    assert (click.action, click.item_id) == ("click", "14")
    assert (click.request_id, click.user_id) == (shown.request_id, shown.user_id)
    assert click.ts_ms == shown.ts_ms


@pytest.mark.parametrize("propensity", ["0", "", "1.5"])
def test_a_row_without_a_propensity_is_refused(tmp_path: Path, propensity: str) -> None:
    with pytest.raises(ValueError, match=r"row 1: found propensity_score .* expected a chance"):
        events_of(tmp_path, EARLIER, LATER.replace("0.25", propensity))


@pytest.mark.skipif(not LOG.exists(), reason=f"the real logs {LOG} are not here")
@pytest.mark.parametrize(("name", "num_clicks"), [("random", 38), ("bts", 42)])
def test_the_real_logs_give_valid_events(name: str, num_clicks: int) -> None:
    events = list(open_bandit_events(LOG / f"{name}.csv.gz"))

    assert all(decode_event(encode_event(event)) == event for event in events)
    assert sum(isinstance(event, Impression) for event in events) == 10_000
    assert sum(isinstance(event, Action) for event in events) == num_clicks
    assert len({event.event_id for event in events}) == len(events)
    assert [event.ts_ms for event in events] == sorted(event.ts_ms for event in events)
