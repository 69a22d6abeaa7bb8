from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from featurestore.events import Event, Impression, encode_event
from streams.config import Config, config_of
from streams.convert import trivago_events
from streams.evaluation.evaluate import Evaluation, _Run, evaluate
from streams.evaluation.plan import Start, plan
from streams.evaluation.result import Cost, Result
from streams.evaluation.result_schemas import result_schema
from streams.event_file import read_values, write_events
from streams.result_file import encode_result
from tests.streams.stream_events import START_MS, click, shown, visit

CONFIG = Config()
NO_COST = Cost(cpu_s=0, wall_s=0, peak_rss_mb=0, events=0, lists=0, training_cpu_s=0)


def shop(num_events: int, seed: int = 5) -> list[Event]:
    """Users who mostly go from item n to item n + 1, with visits and slates in between."""
    generator = np.random.default_rng(seed)
    at = {f"u{n}": int(generator.integers(12)) for n in range(8)}
    events: list[Event] = []
    while len(events) < num_events:
        user = f"u{generator.integers(8)}"
        ts_ms = START_MS + 1_000 * len(events)
        follows = generator.random() < 0.8
        at[user] = (at[user] + 1) % 12 if follows else int(generator.integers(12))
        chance = generator.random()
        if chance < 0.2:
            events.append(visit(user, ts_ms))
        elif chance < 0.4:
            events.append(shown(user, ts_ms, items=["i1", f"i{at[user]}", "i2"]))
        else:
            events.append(click(user, f"i{at[user]}", ts_ms))
    return events


def written(tmp_path: Path, events: Sequence[Event]) -> Path:
    write_events(tmp_path / "events.jsonl", events)
    return tmp_path / "events.jsonl"


def run(path: Path, start: str = "0.3", config: Config = CONFIG, **settings: object) -> Result:
    what = Evaluation(path=path, start=Start.parse(start), **settings)  # type: ignore[arg-type]
    return evaluate(what, config)


def without_cost(result: Result) -> Result:
    return msgspec.structs.replace(result, cost=NO_COST)


def repeatable(**overrides: str) -> Config:
    """A user may be recommended what they have acted upon: the shop's users go in circles."""
    return config_of({"ranking": {"skip_acted": False, **overrides}})


def test_result_fits_the_published_schema(tmp_path: Path) -> None:
    result = run(written(tmp_path, shop(300)))

    Draft202012Validator(result_schema(Result)).validate(json.loads(encode_result(result)))
    assert result.cost.events == 300
    assert result.cost.lists > 0
    assert result.window.evaluate_from_event == 90
    assert result.ingested.outcomes == {"ok": 300}


def test_the_same_file_gives_the_same_figures(tmp_path: Path) -> None:
    path = written(tmp_path, shop(300))

    assert without_cost(run(path)) == without_cost(run(path))


def test_what_users_do_is_foreseen_from_what_others_did(tmp_path: Path) -> None:
    result = run(written(tmp_path, shop(800)), config=repeatable())

    mrr = result.next_item.asked.mrr_20
    assert mrr is not None
    assert mrr > 0.35, "popularity alone would come to about .26 over twelve items"


def test_a_plan_saves_lists_and_changes_no_figure(tmp_path: Path) -> None:
    path = written(tmp_path, shop(300))
    planned = plan(
        read_values(path), CONFIG.action_table(), Start(fraction=0.3), sample=0.5, seed=7
    )
    results, lists = [], []
    for one in (planned, replace(planned, is_read=np.ones(300, np.bool_))):
        whole = _Run(CONFIG, one)
        for place, value in enumerate(read_values(path)):
            whole.take(place, value)
        whole.finish()
        what = Evaluation(path=path, start=Start(fraction=0.3), sample=0.5)
        results.append(whole.result(what, NO_COST))
        lists.append(whole.num_lists)

    assert results[0] == results[1]
    assert lists[0] < lists[1]


def test_the_action_itself_is_unknown_when_its_list_is_asked_for(tmp_path: Path) -> None:
    """Whatever item the last action is on: its place is that in one and the same list."""
    events = shop(400)
    last_ms = START_MS + 1_000_000
    found = {}
    for number in range(12):
        path = written(tmp_path, [*events, click("u1", f"i{number}", last_ms)])
        result = run(path, start=str(last_ms), config=repeatable())
        assert result.next_item.evaluated == 1
        found[number] = result.next_item.asked.mrr_20
    places = sorted(round(1 / mrr) for mrr in found.values() if mrr)

    assert places == list(range(1, len(places) + 1))


def test_served_is_the_list_of_the_users_last_event_and_asked_is_of_now(tmp_path: Path) -> None:
    """While the reader's list waits, everybody else turns to another item."""
    events: list[Event] = [click(f"v{n}", "old", START_MS + n) for n in range(50)]
    events.append(visit("reader", START_MS + 100))
    later_ms = START_MS + 7_200_000
    events += [click(f"w{n}", "new", later_ms + n) for n in range(50)]
    events.append(click("reader", "new", later_ms + 100))
    result = run(written(tmp_path, events), start=str(later_ms + 100))

    assert result.next_item.served.hr_20 == 0.0
    assert result.next_item.asked.mrr_20 == 1.0


def test_who_was_never_there_is_served_the_popular_list(tmp_path: Path) -> None:
    events = [click(f"v{n}", "hit", START_MS + n) for n in range(5)]
    events.append(click("stranger", "hit", START_MS + 100))
    result = run(written(tmp_path, events), start=str(START_MS + 100))

    assert result.next_item.popular_served == 1
    assert result.next_item.served.mrr_20 == 1.0


def test_an_item_never_seen_is_a_miss_and_stays_in_the_denominator(tmp_path: Path) -> None:
    events = [click(f"v{n}", "hit", START_MS + n) for n in range(5)]
    events += [click("x", "hit", START_MS + 100), click("y", "unheard-of", START_MS + 101)]
    result = run(written(tmp_path, events), start=str(START_MS + 100))

    assert (result.next_item.evaluated, result.next_item.never_seen) == (2, 1)
    assert result.next_item.asked.hr_20 == 0.5


def test_sampled_actions_only_are_evaluated_and_all_are_learned_from(tmp_path: Path) -> None:
    path = written(tmp_path, shop(500))
    whole, part = run(path), run(path, sample=0.3)

    assert 0 < part.next_item.evaluated < whole.next_item.evaluated
    assert part.click == whole.click


def test_a_log_without_impressions_gives_next_item_only(tmp_path: Path) -> None:
    result = run(
        written(tmp_path, [event for event in shop(200) if not isinstance(event, Impression)])
    )

    assert result.next_item.evaluated > 0
    assert result.click.impressions == 0
    assert (result.click.ne, result.click.calibration) == (None, None)


def test_slates_are_joined_and_those_open_at_the_end_are_closed(tmp_path: Path) -> None:
    events: list[Event] = [
        shown("u", START_MS, items=["a", "b"], list_id="l1"),
        click("u", "b", START_MS + 1, list_id="l1"),
        shown("u", START_MS + 2, items=["a", "b"], list_id="l2"),
        click("u", "b", START_MS + 3, list_id="l1"),
    ]
    result = run(written(tmp_path, events), start="0")

    assert result.attribution.outcomes == {"joined": 1, "late": 1, "timeout": 1}
    assert (result.click.slates, result.click.clicks, result.click.impressions) == (2, 1, 4)


def test_what_is_no_event_and_what_is_repeated_is_counted_and_not_evaluated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.jsonl"
    first = encode_event(click("u", "a", START_MS, event_id="e1"))
    path.write_bytes(b"\n".join([first, b"{", first, b'{"type":"visit"}']))
    result = run(path, start="0")

    assert result.ingested.outcomes == {"ok": 1, "duplicate": 1}
    assert result.ingested.refused == {"missing_field": 1, "not_json": 1}
    assert result.next_item.evaluated == 1


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    what = Evaluation(path=written(tmp_path, shop(50)), start=Start(fraction=0.5))
    evaluate(what, CONFIG, lambda done, total: seen.append((done, total)))

    assert seen[0] == (0, 50)
    assert seen[-1] == (50, 50)


TRIVAGO = Path("../shared/data/trivago_100k.parquet")


@pytest.mark.slow
@pytest.mark.skipif(not TRIVAGO.exists(), reason=f"the real log {TRIVAGO} is not here")
def test_clicks_of_a_real_log_are_predicted_well(tmp_path: Path) -> None:
    events = [event for _, event in zip(range(30_000), trivago_events(TRIVAGO), strict=False)]
    result = run(written(tmp_path, events), start="0.2", sample=0.0)

    assert result.click.ne is not None
    assert result.click.ne < 0.75
    assert result.click.calibration is not None
    assert 0.95 < result.click.calibration < 1.05


@pytest.mark.skipif(not TRIVAGO.exists(), reason=f"the real log {TRIVAGO} is not here")
def test_a_ranker_that_is_compared_is_judged_as_the_click_head_is(tmp_path: Path) -> None:
    events = [event for _, event in zip(range(3_000), trivago_events(TRIVAGO), strict=False)]
    config = config_of({"evaluation": {"rankers": ["slate", "pairwise"]}})
    result = run(written(tmp_path, events), start="0.2", sample=0.0, config=config)

    same, pairwise = result.rankers["slate"], result.rankers["pairwise"]
    assert (same.ne, same.auc, same.mrr) == (result.click.ne, result.click.auc, result.click.mrr)
    assert (same.slates, same.clicks) == (result.click.slates, result.click.clicks)
    assert (pairwise.ne, pairwise.calibration) == (None, None)
    assert (same.watched.mispredicted, same.watched.slates) == (None, 0)
    assert same.watched.unknown == same.slates
    assert pairwise.mrr is not None
    assert pairwise.mrr > 0.4
