"""Item factors between events and lists: what reaches them, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from featurestore.events import Event, UserId
from featurestore.keys import item_key
from models.online.item_factors import ItemFactors
from models.online.retrieval import Query, Questions
from models.online.sources import FactorsSource
from streams.evaluation.evaluate import Evaluation, evaluate
from streams.evaluation.plan import Start
from streams.event_file import write_events
from streams.examples import ActionRow, unpack_keys
from streams.one_process import OneProcess
from streams.pipeline.live import LiveModels
from tests.streams.stream_events import START_MS, click
from tests.streams.taught import Line, config, live_models

NUM_PAIRS = 12
SETTINGS: Final[dict[str, Any]] = {
    "online__extra_sources": ["transformer", "factors"],
    "online__factors__num_drawn_from": 64,
    "online__factors__num_factors": 8,
    "online__initial_weights": "{factors = 1.0}",
    "retrieval__limits": "{factors = 5, trending = 0, covisitation = 0, fresh = 0}",
    "ranking__slate_sample_rate": 0.0,
}


def habits(num_users: int = 60) -> list[Event]:
    """Users who take some pairs, each an item and what belongs to it: `b3` to `a3`."""
    generator = np.random.default_rng(5)
    events: list[Event] = []
    for number in range(num_users):
        for pair in generator.permutation(NUM_PAIRS)[:3].tolist():
            for item_id in (f"a{pair}", f"b{pair}"):
                events.append(click(f"u{number}", item_id, START_MS + 1000 * len(events)))
    return events


def run(events: Sequence[Event], **settings: object) -> OneProcess:
    whole = OneProcess(config(**{**SETTINGS, **settings}))
    for place, event in enumerate(events):
        whole.learn(place, whole.process(place, event, wants_lists=False))
    return whole


def factors_of(live: LiveModels) -> ItemFactors:
    assert live.online.factors is not None
    return live.online.factors


def tables(live: LiveModels) -> dict[str, bytes]:
    """Every number of the factors, by item where it is an item's."""
    factors = factors_of(live)
    found = {
        f"{table.name}.{column.spec.name}": column.values.tobytes()
        for table in factors.tables
        for column in table.columns.values()
    }
    rows_ND = factors.table.columns["factors"].values
    for code, row_D in enumerate(rows_ND):
        found[live.online.vocabulary.item_id(code)] = row_D.tobytes()
    return found


def source_of(live: LiveModels) -> FactorsSource:
    (source,) = [one for one in live.sources if isinstance(one, FactorsSource)]
    return source


def query_of(live: LiveModels, *item_ids: str) -> Query:
    previous = live.online.vocabulary.codes([item_key(item_id) for item_id in item_ids])
    return Query(now_ms=START_MS + 400_000, previous=previous.tolist())


def test_a_list_holds_what_goes_with_the_users_last_item() -> None:
    events = habits()
    whole = run(events)

    trigger = click("new", "a3", START_MS + 1000 * len(events))
    made = whole.process(len(events), trigger, wants_lists=True).lists[UserId("new")]

    assert made.items[0].item_id == "b3"
    assert {item.source for item in made.items} == {"factors"}
    assert len(made.items) == 5


def test_off_by_default_and_then_nothing_of_it_is_anywhere() -> None:
    live = live_models(config(), [["a", "b"]])

    assert live.online.factors is None
    assert "factors" not in live.online.tables.tables
    assert "factors" not in live.online.rerank_feature_names


def test_a_score_is_the_share_of_actions_and_what_the_user_makes_of_it() -> None:
    live = run(habits()).live
    query, codes = query_of(live, "a3", "b7"), np.arange(len(live.online.vocabulary))
    factors, popularity = factors_of(live), live.online.popularity

    user_D = factors.user(query.previous)
    assert user_D is not None
    shares = (popularity.counts(codes, query.now_ms, 1) + 1e-3) / (
        popularity.total(query.now_ms, 1) + 1
    )
    expected = np.log(shares) + factors.lifts(user_D, codes)
    np.testing.assert_allclose(
        source_of(live).score(Questions.of_one(query, codes)), expected, rtol=1e-5
    )


def test_what_is_proposed_are_the_best_scores_and_never_what_nobody_has_acted_on() -> None:
    live = run(habits()).live
    live.online.learn_item("untouched", time_ms=START_MS)
    query, codes = query_of(live, "a3"), np.arange(len(live.online.vocabulary))

    scores = source_of(live).score(Questions.of_one(query, codes))
    scores[query.previous] = -np.inf
    (some,) = source_of(live).recall([query], 7)
    assert some.tolist() == np.argsort(-scores, kind="stable")[:7].tolist()
    (every,) = source_of(live).recall([query], 1000)
    assert sorted(every.tolist()) == [
        code
        for code in codes.tolist()
        if live.online.vocabulary.item_id(code) not in ("untouched", "a3")
    ]


def test_users_of_whom_no_item_is_known_get_nothing_beside_others_who_get_the_same() -> None:
    live = run(habits()).live
    source, codes = source_of(live), np.arange(6, dtype=np.int32)
    known, unknown = query_of(live, "a3"), query_of(live, "never seen")

    found = source.recall([unknown, query_of(live, "a3")], 5)
    assert found[0].tolist() == []
    assert found[1].tolist() == source.recall([known], 5)[0].tolist()
    together = Questions(
        queries=[unknown, known], codes=np.tile(codes, 2), sizes=np.array([len(codes)] * 2)
    )
    scores = source.score(together)
    assert np.isnan(scores[: len(codes)]).all()
    alone = source.score(Questions.of_one(query_of(live, "a3"), codes))
    assert scores[len(codes) :].tobytes() == alone.tobytes()


def test_an_action_names_as_many_items_before_it_as_factors_read() -> None:
    for settings, num in (({}, 3), ({**SETTINGS, "online__factors__num_recent": 5}, 5)):
        chosen = config(**settings)
        one = Line(chosen, live_models(chosen))
        record = one.take(*[click("u", f"i{n}", START_MS + n) for n in range(8)]).record
        *_, last = [row for row in record.rows if isinstance(row, ActionRow)]
        assert len(unpack_keys(last.previous)) == num


@pytest.mark.parametrize("num_robots_clicks", [4, 200])
def test_a_robots_repetitions_move_no_factor(num_robots_clicks: int) -> None:
    events, after = habits(), START_MS + 10**6

    def with_robot(num: int) -> dict[str, bytes]:
        repeated = ["b1", *["a0"] * num]
        robot = [
            click("robot", item_id, after + number, event_id=f"r{number}")
            for number, item_id in enumerate(repeated)
        ]
        return tables(run([*events, *robot]).live)

    assert with_robot(num_robots_clicks) == with_robot(3)
    assert with_robot(3) != with_robot(2)


def test_what_is_not_positive_moves_no_factor() -> None:
    events = habits(20)
    others = [
        click("u", "a0", START_MS + 10**6 + number, action=action)
        for number, action in enumerate(("view", "hide", "dwell"))
    ]

    assert tables(run([*events, *others]).live) == tables(run(events).live)


def test_evaluation_judges_the_source_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write_events(path, habits(120))

    result = evaluate(
        Evaluation(path=path, start=Start(fraction=0.5), sample=1.0),
        config(**{**SETTINGS, "ranking__list_size": 5}),
    )

    hr = result.sources["factors"].asked.hr_20
    assert hr is not None
    # Every second action is what belongs to the one before it; five of 24 drawn find .1 of these.
    assert hr > 0.4
