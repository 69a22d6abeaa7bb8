from __future__ import annotations

from featurestore.catalogue import Catalogue
from featurestore.events import CatalogueItem, ItemId
from featurestore.keys import item_key
from models.online.online_models import OnlineModels
from streams.learner.fold import LearnerFold
from streams.learner.shared_lists import SharedLists
from streams.sections import AttributionConfig
from tests.streams.example_logs import LAYOUT, START_MS, action, new_online, record_of


def learned() -> OnlineModels:
    online = new_online()
    fold = LearnerFold(online, AttributionConfig(), layout=LAYOUT, topic_id="x")
    events = [action("u", item, START_MS) for item in ("a", "b", "b", "c", "c", "c")]
    fold.fold(record_of(events, 0), 0)
    return online


def lists(online: OnlineModels, catalogue: Catalogue) -> SharedLists:
    return SharedLists(online=online, catalogue=catalogue, num_items=2, config_digest="c")


def test_popular_list_has_the_most_acted_on_items_first() -> None:
    popular = lists(learned(), Catalogue()).popular(5)

    assert [(item.item_id, item.source, item.position) for item in popular.items] == [
        ("c", "trending", 1),
        ("b", "trending", 2),
    ]
    assert [round(item.score, 3) for item in popular.items] == [3.0, 2.0]
    assert popular.now_ms == START_MS


def test_withdrawn_items_are_left_out_and_the_next_ones_move_up() -> None:
    catalogue = Catalogue()
    catalogue.put(CatalogueItem(item_id=ItemId("c"), available=False))
    popular = lists(learned(), catalogue).popular(5)

    assert [item.item_id for item in popular.items] == ["b", "a"]
    assert popular.models.items == catalogue.digest


def test_popular_list_of_an_empty_learner_is_empty() -> None:
    popular = lists(new_online(), Catalogue()).popular(5)

    assert popular.items == ()


def catalogue_of(**category_of: str) -> Catalogue:
    catalogue = Catalogue()
    for item_id, category in category_of.items():
        catalogue.put(CatalogueItem(item_id=ItemId(item_id), categories=(category, "all")))
    return catalogue


def test_categories_have_their_most_acted_on_items_the_most_popular_categories_first() -> None:
    catalogue = catalogue_of(a="rare", c="shoes", b="shoes", unseen="unseen")

    found = lists(learned(), catalogue).of_categories(2, 5)

    assert {name: [item.item_id for item in made.items] for name, made in found.items()} == {
        "shoes": ["c", "b"],
        "rare": ["a"],
    }
    assert list(lists(learned(), catalogue).of_categories(1, 5)) == ["shoes"]
    assert lists(learned(), catalogue).of_categories(0, 5) == {}


def test_withdrawn_items_are_in_no_categorys_list() -> None:
    catalogue = catalogue_of(a="shoes", b="shoes", c="shoes")
    catalogue.put(CatalogueItem(item_id=ItemId("c"), categories=("shoes",), available=False))

    (made,) = lists(learned(), catalogue).of_categories(9, 5).values()

    assert [item.item_id for item in made.items] == ["b", "a"]


def followed() -> OnlineModels:
    """Models to whom `b` followed `a` twice and `c` once, and `a` followed `c`."""
    online = new_online()
    fold = LearnerFold(online, AttributionConfig(), layout=LAYOUT, topic_id="x")
    events = [
        action("u", item, START_MS, previous=previous)
        for item, previous in (("a", ()), ("b", "a"), ("b", "a"), ("c", "a"), ("a", "c"))
    ]
    fold.fold(record_of(events, 0), 0)
    return online


def test_similar_items_are_those_that_followed_the_most_frequent_first() -> None:
    online = followed()
    code = online.vocabulary.code(item_key("a"))

    (made,) = lists(online, Catalogue()).similar([code], 5).values()

    assert [(item.item_id, item.source) for item in made.items] == [
        ("b", "covisitation"),
        ("c", "covisitation"),
    ]
    assert made.items[0].score > made.items[1].score
    assert made.list_id == f"similar-{online.offset}"
    assert made.now_ms == START_MS


def test_withdrawn_items_are_similar_to_none() -> None:
    online, catalogue = followed(), Catalogue()
    catalogue.put(CatalogueItem(item_id=ItemId("b"), available=False))
    code = online.vocabulary.code(item_key("a"))

    (made,) = lists(online, catalogue).similar([code], 5).values()

    assert [item.item_id for item in made.items] == ["c"]


def test_what_something_new_has_followed_is_written_once_and_in_turn() -> None:
    online = followed()

    def written(num_similar: int) -> list[bytes]:
        batches = lists(online, Catalogue()).in_batches(
            num_categories=0, num_similar=num_similar, computed_at_ms=5
        )
        return [key for batch in batches for key in batch]

    assert written(1) == [b"rec:popular", b"similar:a"]
    assert written(5) == [b"rec:popular", b"similar:c"]
    assert written(5) == [b"rec:popular"]
    online.learn_action("c", weight=1.0, time_ms=START_MS, previous=[item_key("a")])
    assert written(0) == [b"rec:popular"]
    assert written(5) == [b"rec:popular", b"similar:a"]


def test_no_batch_holds_more_than_may_be_written_together() -> None:
    online, catalogue = new_online(), Catalogue()
    for number in range(100):
        item_id = f"i{number}"
        online.learn_action(item_id, weight=1.0, time_ms=START_MS, previous=[item_key("i0")])
        online.learn_action("i0", weight=1.0, time_ms=START_MS, previous=[item_key(item_id)])
        catalogue.put(CatalogueItem(item_id=ItemId(item_id), categories=(f"c{number}",)))

    batches = list(
        lists(online, catalogue).in_batches(num_categories=90, num_similar=80, computed_at_ms=5)
    )

    assert [len(batch) for batch in batches] == [64, 27, 64, 16]
    keys = {key for batch in batches for key in batch}
    assert len(keys) == 1 + 90 + 80
    assert {b"rec:popular", b"rec:popular:c0", b"similar:i0"} <= keys
