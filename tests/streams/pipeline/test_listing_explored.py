"""Explored lists as users get them: named, replayed, filtered, with propensities."""

import numpy as np
import pytest

from featurestore.events import CatalogueItem, UserId
from featurestore.lists import RecommendationList, decode_list, encode_list
from streams.examples import SlateRow
from streams.pipeline.composition import build_scorer
from streams.pipeline.stopwatch import NoLaps
from tests.streams.stream_events import START_MS, click, visit
from tests.streams.taught import Line, config, item, live_models, put_items

ITEMS = "abcdefghij"
U1 = UserId("u1")


def line(**overrides: object) -> Line:
    settings = config(**{"ranking__list_size": 4, "exploration__share": 0.5, **overrides})
    return Line(settings, live_models(settings, [ITEMS, "aab", "abc", "a", "dd"]))


def lists(one: Line, num: int = 60) -> list[RecommendationList]:
    """What different users get who know nothing."""
    return [one.take(visit(f"v{n}")).lists[UserId(f"v{n}")] for n in range(num)]


def ids(made: RecommendationList) -> list[str]:
    return [str(one.item_id) for one in made.items]


def test_a_drawn_list_says_so_in_its_name_and_others_have_the_best_first() -> None:
    made = lists(line())
    best = ids(lists(line(exploration__share=0), 1)[0])

    ranked = [one for one in made if one.order == "ranked"]
    explored = [one for one in made if one.order == "explored"]

    assert len(explored) > 15
    assert len(ranked) > 15
    assert all(ids(one) == best for one in ranked)
    assert sum(ids(one) == best for one in explored) < len(explored) / 2
    assert {one.list_id for one in ranked} < {f"0-{n}" for n in range(60)}
    assert {one.list_id for one in explored} < {f"0-{n}-x" for n in range(60)}


def test_propensities_tell_how_often_an_item_stands_at_its_place() -> None:
    made = lists(line(), 800)
    for place in range(4):
        stood = [one.items[place] for one in made]
        first = stood[0].item_id
        (propensity,) = {round(one.propensity, 9) for one in stood if one.item_id == first}
        share = sum(one.item_id == first for one in stood) / len(stood)
        assert abs(share - propensity) < 4.5 * (propensity * (1 - propensity) / len(stood)) ** 0.5


def test_without_exploration_every_place_is_certain() -> None:
    made = lists(line(exploration__share=0), 20)

    assert {one.order for one in made} == {"ranked"}
    assert {item.propensity for one in made for item in one.items} == {1.0}


def test_a_replay_draws_the_same_lists_wherever_the_events_stand() -> None:
    first, again = line(), line()
    again.take(visit("somebody"))

    made, replayed = lists(first), lists(again)

    assert [(ids(one), one.order) for one in made] == [(ids(one), one.order) for one in replayed]
    assert [one.list_id for one in made] != [one.list_id for one in replayed]


def test_a_list_that_is_owed_is_the_one_that_its_trigger_would_have_had() -> None:
    one, behind = line(), line()
    at_once = lists(one, 20)
    for n in range(20):
        owed = behind.take(visit(f"v{n}"), wants_lists=False).owed
        (later,) = behind.pipeline.lists_at(
            n,
            0,
            {user: (behind.states[user], trigger) for user, trigger in owed.items()},
            behind.live,
            computed_at_ms=1,
            laps=NoLaps(),
        ).lists
        assert later == at_once[n]


def test_filters_and_caps_hold_in_drawn_lists() -> None:
    one = line(exploration__share=1, ranking__category_cap=1, ranking__list_size=3)
    kinds = {name: ("x", "y", "z")[place % 3] for place, name in enumerate(ITEMS)}
    put_items(one.live, *(catalogued(name, kinds[name]) for name in ITEMS if name != "c"))
    put_items(one.live, item("c", available=False))

    for n in range(40):
        made = one.take(click("u1", "a", START_MS + n)).lists[U1]
        assert not {"a", "c"} & set(ids(made))
        assert sorted(kinds[name] for name in ids(made)) == ["x", "y", "z"]


def catalogued(name: str, category: str) -> CatalogueItem:
    return item(name, categories=(category,))


def test_an_unmet_item_at_the_last_place_tells_with_how_many_it_takes_turns() -> None:
    one = line(exploration__share=1)
    put_items(one.live, *(item(f"new{n}", published_at_ms=START_MS - n) for n in range(5)))

    made = lists(one)

    assert {one.items[-1].propensity for one in made} == {0.2}
    assert {one.items[-1].item_id for one in made} == {f"new{n}" for n in range(5)}


def test_a_chance_that_scores_counts_by_its_logarithm() -> None:
    settings = config(ranking__head="click")
    live = live_models(settings)
    by_chance, by_utility = build_scorer(settings, live), build_scorer(config(), live)
    scores = np.array([0.5, 0.25, 0.0])

    found = by_chance.logits(scores, live)

    assert found[0] - found[1] == pytest.approx(np.log(2))
    assert np.isfinite(found).all()
    assert by_utility.logits(scores, live).tolist() == scores.tolist()


def test_a_logged_slate_names_the_list_that_was_drawn() -> None:
    one = line(exploration__share=1, ranking__slate_sample_rate=1)

    effects = one.take(visit("u1"))

    (slate,) = [row for row in effects.record.rows if isinstance(row, SlateRow)]
    assert slate.list_id == effects.lists[U1].list_id == "0-0-x"


def test_the_json_keeps_four_digits_of_a_propensity() -> None:
    made = lists(line(exploration__share=1), 1)[0]

    again = decode_list(encode_list(made))

    for one, other in zip(made.items, again.items, strict=True):
        assert other.propensity == float(f"{one.propensity:.4g}")
    assert again.order == "explored"
