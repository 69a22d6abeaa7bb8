"""The catalogue: the newest record of an item, whatever came before."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.catalogue import Catalogue
from featurestore.events import CatalogueItem, Context, ItemId
from featurestore.keys import item_key, item_keys


def item(
    item_id: str,
    *categories: str,
    title: str | None = None,
    attributes: Context | None = None,
    published_at_ms: int | None = None,
    available: bool = True,
) -> CatalogueItem:
    return CatalogueItem(
        item_id=ItemId(item_id),
        title=title,
        categories=categories,
        attributes=attributes,
        published_at_ms=published_at_ms,
        available=available,
    )


def catalogue(*items: CatalogueItem) -> Catalogue:
    filled = Catalogue(numeric=("price",))
    for each in items:
        filled.put(each)
    return filled


def test_what_is_read_is_the_newest_record() -> None:
    filled = catalogue(
        item("a", "news", "sport", published_at_ms=7, attributes={"price": 3}),
        item("b", "sport", available=False, attributes={"price": "cheap"}),
        item("c", "news", attributes={"price": True}),
        item("b", "sport", attributes={"price": 2.5}),
    )
    rows = filled.rows_of(item_keys(["a", "b", "unknown", "c"]))
    assert rows.tolist()[2] == -1
    assert filled.available(rows).tolist() == [True, True, True, True]
    assert filled.categories(rows).tolist() == [0, 1, -1, 0]
    assert filled.published_at_ms(rows).tolist() == [7, 0, 0, 0]
    kinds = filled.kinds(rows).tolist()
    assert kinds[0][0] == kinds[3][0] != 0
    assert kinds[0][1] == kinds[1][0] != 0
    assert kinds[2] == [0, 0]
    assert kinds[3][1] == 0
    np.testing.assert_array_equal(
        filled.numeric(rows), np.array([[3], [2.5], [np.nan], [np.nan]], np.float32)
    )
    assert filled.get(ItemId("a")) is not None
    assert filled.get(ItemId("unknown")) is None
    assert filled.id_of(item_key("b")) == "b"
    assert filled.id_of(12345) is None
    assert len(filled) == 3


def test_a_withdrawn_item_is_not_available_and_an_unknown_one_is() -> None:
    filled = catalogue(item("a"), item("b"), item("b", available=False))
    assert filled.available_mask(item_keys(["a", "b", "unknown"])).tolist() == [True, False, True]
    assert Catalogue().available_mask(item_keys(["a"])).tolist() == [True]


records = st.lists(
    st.builds(
        item,
        st.sampled_from(["a", "b", "c"]),
        title=st.sampled_from(["x", "y"]),
        available=st.booleans(),
    ),
    max_size=12,
)


@settings(derandomize=True, deadline=None)
@given(records, st.randoms(use_true_random=False))
def test_a_compacted_topic_folds_to_the_same_catalogue(
    whole: list[CatalogueItem], generator: random.Random
) -> None:
    newest = list({each.item_id: each for each in whole}.values())
    generator.shuffle(newest)
    full, compacted = catalogue(*whole), catalogue(*newest)
    assert full.digest == compacted.digest
    keys = item_keys(["a", "b", "c"])
    assert full.available_mask(keys).tolist() == compacted.available_mask(keys).tolist()


def test_the_digest_tells_contents_apart() -> None:
    digests = {
        catalogue(*items).digest
        for items in ([], [item("a")], [item("a", title="t")], [item("a"), item("b")])
    }
    assert len(digests) == 4
    assert Catalogue().digest == "00000000"


def test_beyond_its_cap_the_item_put_longest_ago_is_forgotten() -> None:
    filled = Catalogue(max_items=2)
    for each in (item("a", available=False), item("b"), item("a", available=False), item("c")):
        filled.put(each)
    assert filled.num_forgotten == 1
    assert [filled.get(ItemId(name)) is not None for name in "abc"] == [True, False, True]
    assert filled.id_of(item_key("b")) is None
    assert filled.available_mask(item_keys(["a", "b", "c"])).tolist() == [False, True, True]
    assert filled.digest == catalogue(item("a", available=False), item("c")).digest


def test_many_items_keep_their_rows_apart() -> None:
    ids = [f"i{number}" for number in range(5_000)]
    filled = catalogue(*(item(each, published_at_ms=at + 1) for at, each in enumerate(ids)))
    rows = filled.rows_of(item_keys(ids))
    assert filled.published_at_ms(rows).tolist() == list(range(1, 5_001))
    assert [filled.id_of(key) for key in item_keys(ids).tolist()] == ids


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_items_with_one_key_the_smaller_id_is_read_in_either_order(
    order: tuple[int, int],
) -> None:
    twins = [item("i146663", available=False), item("i56331")]
    assert item_key("i146663") == item_key("i56331")
    filled = Catalogue(max_items=2)
    for at in order:
        filled.put(twins[at])
    assert filled.id_of(item_key("i56331")) == "i146663"
    assert filled.available_mask(item_keys(["i56331"])).tolist() == [False]
    for other in ("x", "y"):
        filled.put(item(other))
    assert filled.num_forgotten == 2
    assert filled.id_of(item_key("i56331")) is None


def test_a_sample_is_of_different_items_on_offer() -> None:
    filled = Catalogue(max_items=40)
    for number in range(60):
        filled.put(item(f"i{number}", available=number % 2 == 0))
    sampled = filled.sample(np.random.default_rng(1), 200).tolist()
    on_offer = {item_key(f"i{number}") for number in range(20, 60, 2)}
    assert len(set(sampled)) == len(sampled) > 15
    assert set(sampled) <= on_offer
    assert Catalogue().sample(np.random.default_rng(1), 5).tolist() == []
