import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bags import Bags, recency_weights, sequence_bags, user_bags
from models.recommender import UserSequence
from tests.models.histories import history_of


def _sequence(items: list[int]) -> UserSequence:
    num = len(items)
    return UserSequence(
        user=1,
        items=np.array(items, np.int32),
        actions=np.ones(num, np.uint8),
        times_s=np.zeros(num, np.uint32),
    )


def test_a_bag_has_each_item_once_by_its_newest_action() -> None:
    history = history_of([("a", "x"), ("b", "z"), ("a", "y"), ("a", None), ("a", "x")])
    bags = user_bags(history)
    found = {
        tuple(history.item_ids[code] for code in bags.select(np.array([number])).item_Z)
        for number in range(len(bags))
    }
    assert found == {("x", "y"), ("z",)}


def test_unknown_items_and_empty_sequences_make_no_entry() -> None:
    bags = sequence_bags([_sequence([]), _sequence([4, -1, 2]), _sequence([-1])])
    assert bags.begin_U.tolist() == [0, 0, 2, 2]
    assert bags.item_Z.tolist() == [2, 4]
    assert len(sequence_bags([])) == 0


def test_chosen_bags_come_in_the_chosen_order() -> None:
    bags = sequence_bags([_sequence([0, 1]), _sequence([5]), _sequence([]), _sequence([7, 8, 9])])
    chosen = bags.select(np.array([3, 0, 2]))
    assert chosen.item_Z.tolist() == [9, 8, 7, 1, 0]
    assert chosen.sizes.tolist() == [3, 2, 0]
    assert chosen.owners.tolist() == [0, 0, 0, 1, 1]
    assert chosen.places.tolist() == [0, 1, 2, 0, 1]


@given(st.lists(st.lists(st.integers(-1, 6), max_size=12), max_size=6))
def test_bags_equal_those_of_a_loop(sequences: list[list[int]]) -> None:
    bags = sequence_bags([_sequence(items) for items in sequences])
    for number, items in enumerate(sequences):
        expected = list(dict.fromkeys(item for item in reversed(items) if item >= 0))
        assert bags.select(np.array([number])).item_Z.tolist() == expected


def test_each_half_life_halves_an_items_weight() -> None:
    bags = Bags(item_Z=np.arange(5), begin_U=np.array([0, 5]))
    assert recency_weights(bags, 2.0)[[0, 2, 4]].tolist() == [1, 0.5, 0.25]


@pytest.mark.parametrize("half_life", [0.0, -1.0])
def test_a_half_life_not_above_zero_is_refused(half_life: float) -> None:
    with pytest.raises(ValueError, match="above 0 expected"):
        recency_weights(Bags(item_Z=np.arange(5), begin_U=np.array([0, 5])), half_life)
