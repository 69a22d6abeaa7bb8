"""What an evaluation knows of the items that its log has reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.events import CatalogueItem, Event, ItemId
from models.registry import new_recommender
from streams.config import Config, config_of
from streams.evaluation.delays import PARTS
from streams.evaluation.evaluate import Evaluation, evaluate
from streams.evaluation.log_catalogue import LogCatalogue
from streams.evaluation.plan import Start
from streams.evaluation.result import Result
from streams.event_file import write_events
from streams.finished_log import log_of
from streams.item_log import item_log_of
from tests.streams.evaluation.test_evaluate import shop, written
from tests.streams.stream_events import START_MS, click, shown, visit

CONFIG = config_of({"ranking": {"skip_acted": False}})


def item(
    item_id: str,
    *categories: str,
    published_at_ms: int | None = None,
    available: bool = True,
) -> CatalogueItem:
    return CatalogueItem(
        item_id=ItemId(item_id),
        categories=categories,
        published_at_ms=published_at_ms,
        available=available,
    )


class Shelf:
    """What was put, in order."""

    def __init__(self, *items: CatalogueItem) -> None:
        self.put: list[CatalogueItem] = []
        self.catalogue = LogCatalogue(items, CONFIG.side, self.put.append)

    @property
    def ids(self) -> list[str]:
        return [one.item_id for one in self.put]


def test_an_item_is_known_from_its_publication_on() -> None:
    shelf = Shelf(item("late", published_at_ms=30), item("soon", published_at_ms=10), item("ever"))

    shelf.catalogue.advance(visit("u", 10))
    assert shelf.ids == [], "or an action that brought its item into the world would know it"
    shelf.catalogue.advance(visit("u", 11))
    shelf.catalogue.advance(visit("u", 30))
    assert shelf.ids == ["soon"]
    shelf.catalogue.advance(visit("u", 1_000))
    assert shelf.ids == ["soon", "late"]


def test_one_user_with_a_broken_clock_publishes_nothing() -> None:
    shelf = Shelf(item("late", published_at_ms=START_MS + 10**10))

    shelf.catalogue.advance(visit("u", START_MS))
    shelf.catalogue.advance(visit("broken", START_MS + 10**11))
    shelf.catalogue.advance(visit("u", START_MS + 1_000))
    assert shelf.ids == []


@pytest.mark.parametrize("event", [click("u", "i1"), shown("u", items=["i0", "i1"])])
def test_an_item_without_a_publication_is_known_from_its_first_event_on(event: Event) -> None:
    shelf = Shelf(item("i1", "shoes"), item("i2"))

    shelf.catalogue.meet(visit("u"))
    assert shelf.ids == []
    shelf.catalogue.meet(event)
    shelf.catalogue.meet(event)
    assert shelf.ids == ["i1"]
    assert shelf.catalogue.attributes == {"i1": CONFIG.side.attribute_codes(["shoes"], {})}


def test_an_event_before_the_publication_counts_and_the_item_is_put_once() -> None:
    shelf = Shelf(item("i1", published_at_ms=50))

    shelf.catalogue.meet(click("u", "i1"))
    shelf.catalogue.advance(visit("u", 60))
    assert shelf.ids == ["i1"]


def test_what_is_withdrawn_by_now_was_on_offer_then() -> None:
    shelf = Shelf(item("i1", available=False))

    shelf.catalogue.meet(click("u", "i1"))
    assert shelf.put == [item("i1")]


def evaluated(
    tmp_path: Path,
    events: list[Event],
    items: list[CatalogueItem],
    config: Config = CONFIG,
) -> Result:
    write_events(tmp_path / "items.jsonl", items)
    evaluation = Evaluation(
        path=written(tmp_path, events),
        start=Start(fraction=0.2),
        items=tmp_path / "items.jsonl",
    )
    return evaluate(evaluation, config)


def with_one_new_item(num_events: int) -> list[Event]:
    events = shop(num_events)
    last = events[-1]
    return [*events, visit("u1", last.ts_ms + 1), click("u1", "unheard-of", last.ts_ms + 2)]


def test_an_item_that_comes_with_the_evaluated_action_is_not_known_before_it(
    tmp_path: Path,
) -> None:
    events = with_one_new_item(100)
    untold = evaluated(tmp_path, events, []).next_item
    told = evaluated(tmp_path, events, [item("unheard-of")]).next_item

    assert (told.served, told.asked) == (untold.served, untold.asked)


def test_an_item_that_was_published_before_is_listed_though_nobody_has_met_it(
    tmp_path: Path,
) -> None:
    events = with_one_new_item(100)
    untold = evaluated(tmp_path, events, []).next_item
    told = evaluated(tmp_path, events, [item("unheard-of", published_at_ms=START_MS + 50_000)])

    assert told.next_item.evaluated == untold.evaluated
    assert untold.asked.hr_20 is not None
    assert told.next_item.asked.hr_20 == pytest.approx(untold.asked.hr_20 + 1 / untold.evaluated)
    assert told.next_item.recall_miss == untold.recall_miss - 1
    assert told.next_item.coverage == pytest.approx(1.0), "all twelve and the one"


def test_an_unmet_item_counts_among_those_that_could_have_been_listed(tmp_path: Path) -> None:
    unmet = [item(f"unmet{n}", published_at_ms=START_MS + 50_000) for n in range(40)]
    coverage = evaluated(tmp_path, shop(100), unmet).next_item.coverage

    assert coverage is not None
    assert coverage < 1


def test_lists_of_which_a_part_is_late_by_nothing_hold_new_items_too(tmp_path: Path) -> None:
    config = config_of({"ranking": {"skip_acted": False}, "evaluation": {"delays_s": [0]}})
    new = item("unheard-of", published_at_ms=START_MS + 50_000)
    result = evaluated(tmp_path, with_one_new_item(100), [new], config)

    assert [late.asked for late in result.delayed] == [result.next_item.asked] * len(PARTS)


def test_what_is_shown_is_featured_with_what_is_told_of_it(tmp_path: Path) -> None:
    """At its first event, too: of slates of new items the price says which is clicked."""
    events: list[Event] = []
    for number in range(300):
        at_ms = START_MS + 10_000 * number
        pair = (f"cheap{number}", f"dear{number}")
        events.append(shown(f"u{number}", at_ms, items=pair if number % 2 else pair[::-1]))
        events.append(click(f"u{number}", f"cheap{number}", at_ms + 1_000))
    items = [
        CatalogueItem(item_id=ItemId(f"{kind}{number}"), attributes={"price": price})
        for number in range(300)
        for kind, price in (("cheap", 1.0), ("dear", 90.0))
    ]
    config = config_of({"online": {"heads": ["click"]}})
    told, untold = (evaluated(tmp_path, events, some, config).click.auc for some in (items, []))

    assert told is not None
    assert untold is not None
    assert told > 0.95
    assert untold < 0.7


def test_a_model_learns_the_attributes_that_training_from_a_file_tells(tmp_path: Path) -> None:
    config = config_of(
        {
            "ranking": {"skip_acted": False},
            "trainer": {"min_actions": 100},
            "side": {"context": []},
            "online": {"extra_sources": ["two_tower"]},
            "features": {"sources": ["trending", "covisitation"]},
            "retrieval": {"limits": {"two_tower": 5}},
            "evaluation": {"model_interval_s": 400},
        }
    )
    events = shop(450)
    items = [item(f"i{number}", f"c{number % 3}") for number in range(12)]
    # Nobody acts upon it, and yet it has a vector.
    items.append(item("unmet", "c1", published_at_ms=START_MS + 1_000))
    (bundle,) = evaluated(tmp_path, events, items, config).bundles
    read = events[: bundle.cutoff_event]
    values = (tmp_path / "events.jsonl").read_bytes().splitlines()[: len(read)]
    catalogue = (tmp_path / "items.jsonl").read_bytes().splitlines()
    log = log_of("log", values, config, item_log_of(catalogue, config.side))
    model = new_recommender("two_tower", seed=config.evaluation.model_seed)
    for _ in model.fit(log.history):
        pass

    assert model.save(tmp_path / "expected").digest == bundle.digest
