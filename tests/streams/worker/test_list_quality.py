"""Figures of the latest lists, and where clicks came from."""

import math

import pytest

from featurestore.events import UserId
from streams.worker.list_quality import MAX_LISTS, LatestLists
from tests.streams.stream_events import START_MS, click, visit
from tests.streams.taught import Line, config, item, live_models, put_items

SEQUENCES = [["a", "b", "c", "d"], ["a", "b", "d"], ["c", "d"], ["a", "b"]]
U1 = UserId("u1")


def line(**overrides: object) -> Line:
    settings = config(ranking__num_new=0, **overrides)
    return Line(settings, live_models(settings, SEQUENCES))


def test_without_lists_there_is_nothing_to_measure() -> None:
    assert LatestLists().quality(line().live) is None


def test_a_click_counts_for_the_source_that_brought_the_item() -> None:
    one, latest = line(), LatestLists()
    made = one.take(click("u1", "a")).lists[U1]
    latest.add([made])
    best = made.items[0]

    echoed = click("u1", best.item_id, START_MS + 1, list_id=made.list_id)
    strange = click("u1", "elsewhere", START_MS + 2, list_id=made.list_id)
    unechoed = click("u1", best.item_id, START_MS + 3)
    record = one.take(echoed, strange, unechoed, click("u9", "a")).record

    assert latest.sources_of_clicks(record) == {best.source: 1, "none": 3}


def test_coverage_diversity_and_novelty_of_known_lists() -> None:
    one, latest = line(ranking__list_size=2), LatestLists()
    put_items(
        one.live, *(item(name, categories=("x" if name in "ab" else "y",)) for name in "abcd")
    )
    lists = one.take(visit("u1"), visit("u2")).lists
    latest.add(lists.values())

    quality = latest.quality(one.live)

    assert quality is not None
    shown = {entry.item_id for made in lists.values() for entry in made.items}
    assert quality.coverage == len(shown) / 4
    pairs = {tuple(sorted(entry.item_id for entry in made.items)) for made in lists.values()}
    (pair,) = pairs
    assert quality.diversity == (0.0 if pair in {("a", "b"), ("c", "d")} else 1.0)
    # Four items, each taken about equally often: two bits each.
    assert quality.novelty_bits == pytest.approx(2.0, abs=0.5)


def test_without_categories_diversity_is_unknown() -> None:
    one, latest = line(), LatestLists()
    latest.add(one.take(visit("u1")).lists.values())

    quality = latest.quality(one.live)

    assert quality is not None
    assert math.isnan(quality.diversity)


def test_only_the_latest_lists_are_kept() -> None:
    one, latest = line(ranking__list_size=1), LatestLists()
    made = one.take(visit("u1")).lists[U1]
    for number in range(MAX_LISTS + 5):
        renamed = type(made)(
            user_id=UserId(f"u{number}"),
            list_id=made.list_id,
            items=made.items,
            as_of=made.as_of,
            now_ms=made.now_ms,
            computed_at_ms=made.computed_at_ms,
            models=made.models,
        )
        latest.add([renamed])

    assert len(latest._lists) == MAX_LISTS
    assert UserId("u0") not in latest._lists
