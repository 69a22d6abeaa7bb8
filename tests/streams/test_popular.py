from __future__ import annotations

from featurestore.catalogue import Catalogue
from featurestore.events import CatalogueItem, ItemId
from models.online import OnlineModels
from streams.learner_fold import LearnerFold
from streams.popular import popular_list
from streams.sections import AttributionConfig
from tests.streams.example_logs import LAYOUT, START_MS, action, new_online, record_of


def learned() -> OnlineModels:
    online = new_online()
    fold = LearnerFold(online, AttributionConfig(), layout=LAYOUT, topic_id="x")
    events = [action("u", item, START_MS) for item in ("a", "b", "b", "c", "c", "c")]
    fold.fold(record_of(events, 0), 0)
    return online


def test_popular_list_has_the_most_acted_on_items_first() -> None:
    popular = popular_list(learned(), Catalogue(), num_items=2, config_digest="c", computed_at_ms=5)

    assert [(item.item_id, item.source, item.position) for item in popular.items] == [
        ("c", "trending", 1),
        ("b", "trending", 2),
    ]
    assert [round(item.score, 3) for item in popular.items] == [3.0, 2.0]
    assert popular.now_ms == START_MS


def test_withdrawn_items_are_left_out_and_the_next_ones_move_up() -> None:
    catalogue = Catalogue()
    catalogue.put(CatalogueItem(item_id=ItemId("c"), available=False))
    popular = popular_list(learned(), catalogue, num_items=2, config_digest="c", computed_at_ms=5)

    assert [item.item_id for item in popular.items] == ["b", "a"]
    assert popular.models.items == catalogue.digest


def test_popular_list_of_an_empty_learner_is_empty() -> None:
    popular = popular_list(
        new_online(), Catalogue(), num_items=2, config_digest="c", computed_at_ms=5
    )

    assert popular.items == ()
