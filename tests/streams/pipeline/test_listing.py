"""Lists: filters, heads, diversity, reasons, versions."""

import numpy as np
import pytest

from featurestore.events import UserId
from featurestore.lists import RecommendationList
from streams.examples import ImpressionRow, unpack_int32
from streams.pipeline.listing import ListBuilder
from streams.pipeline.recommending import MAX_REASONS
from tests.streams.stream_events import START_MS, click, shown, visit
from tests.streams.taught import Line, config, item, live_models, put_items

SEQUENCES = [["a", "b", "c", "d"], ["a", "b", "d"], ["c", "d", "e"], ["b", "f"], ["a", "g"]]
U1 = UserId("u1")


def line(**overrides: object) -> Line:
    settings = config(**overrides)
    return Line(settings, live_models(settings, SEQUENCES))


def ids(made: RecommendationList) -> list[str]:
    return [str(one.item_id) for one in made.items]


def test_what_followed_the_users_item_comes_first_and_names_it_as_the_reason() -> None:
    made = line().take(click("u1", "b")).lists[U1]

    best = made.items[0]
    assert best.item_id in {"d", "f", "c"}
    assert [one.position for one in made.items] == list(range(1, len(made.items) + 1))
    caused = [one for one in made.items if one.source == "covisitation"]
    assert {one.reason for one in caused} == {"b"}
    assert all(one.propensity == 1.0 for one in made.items)


def test_only_the_first_items_of_a_long_list_say_why() -> None:
    settings = config()
    followers = [f"follower {number:02}" for number in range(15)]
    one = Line(settings, live_models(settings, [["b", name] for name in followers]))

    made = one.take(click("u1", "b")).lists[U1]

    caused = [item for item in made.items if item.source == "covisitation"]
    assert len(caused) > MAX_REASONS
    assert [item.reason for item in caused[:MAX_REASONS]] == ["b"] * MAX_REASONS
    assert {item.reason for item in caused[MAX_REASONS:]} == {None}


def test_a_user_without_history_gets_what_is_trending() -> None:
    made = line().take(visit("u1")).lists[U1]

    # Three clicks each; the last ones count most.
    assert set(ids(made)[:4]) == {"a", "b", "d", "c"}
    assert made.items[0].source == "trending"
    assert {one.source for one in made.items} <= {"trending", "fresh"}
    assert {one.reason for one in made.items} == {None}


def test_scores_fall() -> None:
    made = line().take(click("u1", "a")).lists[U1]

    scores = [one.score for one in made.items]
    assert scores == sorted(scores, reverse=True)


def test_what_the_user_acted_upon_is_left_out_unless_configured() -> None:
    assert "a" not in ids(line().take(click("u1", "a")).lists[U1])
    assert "a" in ids(line(ranking__skip_acted=False).take(click("u1", "a")).lists[U1])


def test_a_hidden_item_goes_even_if_acted_upon_items_stay() -> None:
    made = line(ranking__skip_acted=False).take(click("u1", "b", action="hide")).lists[U1]

    assert "b" not in ids(made)


def test_a_withdrawn_item_goes_and_comes_back() -> None:
    one = line()
    put_items(one.live, item("b", available=False))
    without = one.take(visit("u1")).lists[U1]
    put_items(one.live, item("b"))
    again = one.take(visit("u1", START_MS + 1)).lists[U1]

    assert "b" not in ids(without)
    assert "b" in ids(again)


def test_an_item_that_was_shown_too_often_rests() -> None:
    one = line(ranking__max_shown=2)
    one.take(shown("u1", items=["b", "d"]), shown("u1", START_MS + 1, items=["b"]))

    made = one.take(visit("u1", START_MS + 2)).lists[U1]

    assert "b" not in ids(made)
    assert "d" in ids(made)


def test_a_cap_on_a_category_lets_others_in_first() -> None:
    one, free = line(ranking__category_cap=1, ranking__list_size=3), line(ranking__list_size=3)
    for each in (one, free):
        put_items(each.live, *(item(name, categories=("same",)) for name in "abd"))

    capped = ids(one.take(visit("u1")).lists[U1])

    assert len(set(capped) & set("abd")) == 1
    assert len(set(ids(free.take(visit("u1")).lists[U1])) & set("abd")) == 3


def test_a_list_has_at_most_its_size() -> None:
    assert len(line(ranking__list_size=2).take(visit("u1")).lists[U1].items) == 2


def test_p_click_ranks_where_it_is_asked_to() -> None:
    one = line(ranking__head="click")
    before = line().take(visit("u1"))
    teach_clicks(one, clicked="f", shown_beside=["a", "b", "c", "d"], times=40)

    after = one.take(visit("u1", START_MS + 5))

    rivals = ["a", "b", "c", "d"]
    order = ids(before.lists[U1])
    assert all(order.index(rival) < order.index("f") for rival in rivals)
    order = ids(after.lists[U1])
    assert all(order.index("f") < order.index(rival) for rival in rivals)
    assert 0.0 < after.lists[U1].items[0].score < 1.0


@pytest.mark.parametrize(("head", "expected"), [("click", True), ("reranker", False)])
def test_a_configured_head_ranks_whatever_was_learned(head: str, expected: bool) -> None:  # noqa: FBT001
    one = line(ranking__head=head)

    made = one.take(visit("u1")).lists[U1]

    # An untrained p(click) is one half for all; the tuned order is a log-score.
    assert ({entry.score for entry in made.items} == {0.5}) is expected


def teach_clicks(one: Line, *, clicked: str, shown_beside: list[str], times: int) -> None:
    """Let the click head learn that `clicked` is clicked wherever it is shown."""
    for number in range(times):
        at_ms = START_MS + number
        place = number % (len(shown_beside) + 1)
        item_ids = [*shown_beside[:place], clicked, *shown_beside[place:]]
        record = one.take(shown(f"v{number}", at_ms, items=item_ids)).record
        (row,) = [row for row in record.rows if isinstance(row, ImpressionRow)]
        one.live.online.learn_impression(item_ids, time_ms=at_ms)
        one.live.online.learn_click(
            item_ids,
            unpack_int32(row.relevance, len(item_ids)),
            unpack_int32(row.examination, len(item_ids)),
            np.array([item_id == clicked for item_id in item_ids]),
            time_ms=at_ms,
        )


def test_a_full_list_keeps_a_place_for_items_that_nobody_has_met_in_turns() -> None:
    one = line(ranking__list_size=3)
    put_items(one.live, *(item(f"new{n}", published_at_ms=START_MS - n) for n in range(4)))

    lists = [one.take(visit(f"u{n}", START_MS + n)).lists[UserId(f"u{n}")] for n in range(40)]

    assert all(len(made.items) == 3 for made in lists)
    last = [made.items[-1].item_id for made in lists]
    assert set(last) == {"new0", "new1", "new2", "new3"}
    assert all(made.items[0].item_id in set("abcdefg") for made in lists)


def test_a_short_list_is_filled_with_the_newest() -> None:
    settings = config(ranking__list_size=4)
    one = Line(settings, live_models(settings, [["a"]]))
    put_items(one.live, *(item(f"new{n}", published_at_ms=START_MS - n) for n in range(9)))

    assert ids(one.take(visit("u1")).lists[U1]) == ["a", "new0", "new1", "new2"]


def test_a_list_of_nothing_is_an_empty_list() -> None:
    settings = config()
    empty = Line(settings, live_models(settings))

    made = empty.take(visit("u1")).lists[U1]

    assert made.items == ()
    assert made.list_id == "0-0"


def test_a_list_names_what_made_it() -> None:
    one = line()
    put_items(one.live, item("b"))

    models = one.take(visit("u1")).lists[U1].models

    assert models.online == 1
    assert models.items == one.live.catalogue.digest
    assert models.config == config().digest()
    assert models.bundles == {}


def test_replaying_to_what_a_list_names_gives_the_same_list() -> None:
    first = line()
    first.take(click("u1", "a"), shown("u1", START_MS + 1, items=["b", "c"]))
    made = first.take(click("u2", "f"), click("u1", "b", START_MS + 2)).lists[U1]

    again = line()
    effects = again.take(
        click("u1", "a"),
        shown("u1", START_MS + 1, items=["b", "c"]),
        click("u2", "f"),
        click("u1", "b", START_MS + 2),
    )

    assert effects.lists[U1] == made


def test_one_users_list_does_not_depend_on_who_else_is_in_the_chunk() -> None:
    alone, together = line(), line()

    single = alone.take(click("u1", "a")).lists[U1]
    beside = together.take(click("u1", "a"), *(click(f"v{n}", "b") for n in range(9))).lists[U1]

    assert single == beside


def test_about_the_configured_share_of_lists_is_sampled() -> None:
    builder: ListBuilder = line(ranking__slate_sample_rate=0.05).pipeline._builder

    sampled = [
        builder.is_sampled(UserId(f"user-{n % 997}"), n % 8, 1000 + n) for n in range(40_000)
    ]

    assert 0.045 < sum(sampled) / len(sampled) < 0.055
