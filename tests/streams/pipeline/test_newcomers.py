"""Items that nobody has met: which they are, in which order, and who gets them."""

from hypothesis import given
from hypothesis import strategies as st

from featurestore.catalogue import Catalogue
from featurestore.events import CatalogueItem, ItemId
from featurestore.keys import item_key
from models.online.vocabulary import Vocabulary, VocabularyConfig
from streams.pipeline.newcomers import Newcomers, turn_of


def made(*items: CatalogueItem) -> tuple[Newcomers, Vocabulary]:
    catalogue, vocabulary = Catalogue(), Vocabulary(VocabularyConfig())
    newcomers = Newcomers(catalogue, vocabulary)
    for one in items:
        catalogue.put(one)
        newcomers.put(one)
    return newcomers, vocabulary


def item(name: str, at_ms: int | None = None, *, available: bool = True) -> CatalogueItem:
    return CatalogueItem(item_id=ItemId(name), published_at_ms=at_ms, available=available)


def test_the_newest_come_first_and_those_without_a_date_last() -> None:
    newcomers, _ = made(item("old", 10), item("undated"), item("new", 20), item("also new", 20))

    assert newcomers.offered(0) == ["also new", "new", "old", "undated"]


def test_an_item_that_the_counters_have_met_is_offered_no_more() -> None:
    newcomers, vocabulary = made(item("a", 10), item("b", 20))
    assert newcomers.offered(0) == ["b", "a"]

    vocabulary.add("b", item_key("b"), 0)

    assert newcomers.offered(1) == ["a"]


def test_a_withdrawn_item_goes_and_a_changed_date_moves_it() -> None:
    newcomers, _ = made(
        item("a", 10), item("b", 20), item("b", 20, available=False), item("a", 30), item("c", 25)
    )

    assert newcomers.offered(0) == ["a", "c"]


@given(st.permutations([("a", 3), ("b", 1), ("c", 2), ("d", 2)]))
def test_the_order_of_records_does_not_matter(records: list[tuple[str, int]]) -> None:
    newcomers, _ = made(*(item(name, at_ms) for name, at_ms in records))

    assert newcomers.offered(0) == ["a", "c", "d", "b"]


def test_turns_reach_every_item() -> None:
    items = [ItemId(name) for name in "abc"]

    assert [turn_of(items, seed, 1) for seed in range(3)] == [["a"], ["b"], ["c"]]
    assert turn_of(items, 1, 9) == ["b", "c", "a"]
    assert turn_of([], 1, 1) == []
