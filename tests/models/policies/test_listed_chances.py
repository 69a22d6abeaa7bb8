"""Chances of a list's items at their places: against all permutations, and without a cap."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.policies import listed_chances as module
from models.policies.listed_chances import listed_chances
from models.policies.place_chances import PlackettLuce
from models.ranking import NO_CATEGORY, best_first, diversify

FREE = np.full(300, NO_CATEGORY)
ALIKE = {
    "nothing is capped": ([0, 0, 0, 0, 0, 0], 0, 4),
    "no categories": ([-1, -1, -1, -1, -1, -1], 1, 4),
    "two of three": ([0, 1, 2, 0, 1, 2], 2, 4),
    "some have no category": ([-1, -1, 0, 0, 1, 1], 1, 4),
    "one of each, and the list is full": ([0, 1, 2, 0, 1, 2], 1, 3),
    "what was held back fills the list": ([0, 0, 0, 0, 1, -1], 2, 6),
    "nearly all are held back": ([0, 0, 0, 0, 0, 0], 1, 5),
}


def over_all_orders(
    logits: NDArray[np.float64], categories: NDArray[np.int64], cap: int, num: int
) -> tuple[NDArray[np.float64], set[tuple[int, ...]]]:
    """Chance of each item at each place, and every list that there may be."""
    odds, chances_LN, lists = np.exp(logits), np.zeros((num, len(logits))), set()
    for order in permutations(range(len(logits))):
        chance, left = 1.0, odds.sum()
        for item in order:
            chance *= odds[item] / left
            left -= odds[item]
        listed = diversify(np.array(order), categories, cap, num)
        chances_LN[np.arange(num), listed] += chance
        lists.add(tuple(listed.tolist()))
    return chances_LN, lists


@pytest.mark.parametrize("case", ALIKE)
def test_chances_equal_the_sum_over_all_orders(case: str) -> None:
    names, cap, num = ALIKE[case]
    categories = np.array(names)
    logits = np.random.default_rng(7).normal(size=len(names)) * 1.5
    expected_LN, lists = over_all_orders(logits, categories, cap, num)

    for listed in lists:
        order = np.array(listed)
        found = listed_chances(logits, order, categories, cap, num_deep=len(names))
        assert found == pytest.approx(expected_LN[np.arange(num), order], rel=1e-5), listed


@pytest.mark.parametrize("spread", [0.1, 1.5, 6.0])
def test_without_a_cap_they_are_those_of_plackett_and_luce(spread: float) -> None:
    draws = np.random.default_rng(1)
    logits = draws.normal(size=300) * spread
    order = best_first(logits + draws.gumbel(size=300))[:20]

    found = listed_chances(logits, order, FREE, 0, num_deep=20)

    expected = PlackettLuce(1.0).chances(logits, 20)[np.arange(20), order]
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_finer_grid_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(2)
    logits, categories = draws.normal(size=120), draws.integers(0, 9, size=120)
    order = diversify(best_first(logits + draws.gumbel(size=120)), categories, 2, 20)
    coarse = listed_chances(logits, order, categories, 2, num_deep=120)
    monkeypatch.setattr(module, "_STEP", module._STEP / 2)

    fine = listed_chances(logits, order, categories, 2, num_deep=120)

    assert fine == pytest.approx(coarse, rel=1e-5)


@pytest.mark.parametrize("cap", [0, 3])
def test_hardly_any_temperature_makes_the_best_list_certain(cap: int) -> None:
    logits = np.random.default_rng(3).normal(size=40) * 1e5
    categories = np.arange(40) % 5
    best = diversify(best_first(logits), categories, cap, 12)

    found = listed_chances(logits, best, categories, cap, num_deep=40)

    assert found == pytest.approx(np.ones(12), abs=1e-5)


def test_a_list_of_one_and_of_none() -> None:
    logits = np.log([3.0, 1.0])
    assert listed_chances(logits, np.array([1]), FREE[:2], 0, num_deep=1).tolist() == [0.25]
    assert listed_chances(np.empty(0), np.empty(0, int), FREE[:0], 0, num_deep=0).tolist() == []
