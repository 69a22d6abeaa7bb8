"""Chances of items at places: against all permutations, and against lists that are drawn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.policies import place_chances
from models.policies.place_chances import DrawnList, EpsilonGreedy, Greedy, PlackettLuce

ALL: list[DrawnList] = [Greedy(), EpsilonGreedy(0.3), PlackettLuce(0.7)]


def over_all_orders(scores: NDArray[np.float64], num_places: int) -> NDArray[np.float64]:
    odds, chances_KN = np.exp(scores), np.zeros((num_places, len(scores)))
    for order in permutations(range(len(scores)), min(num_places, len(scores))):
        chance, left = 1.0, odds.sum()
        for item in order:
            chance *= odds[item] / left
            left -= odds[item]
        for place, item in enumerate(order):
            chances_KN[place, item] += chance
    return chances_KN


@pytest.mark.parametrize("spread", [0.1, 1.0, 6.0])
@pytest.mark.parametrize(("num", "num_places"), [(6, 1), (6, 3), (5, 5), (2, 4)])
def test_plackett_luce_equals_the_sum_over_all_orders(
    num: int, num_places: int, spread: float
) -> None:
    scores = np.random.default_rng(num).normal(size=num) * spread
    found = PlackettLuce(1.0).chances(scores, num_places)
    assert found == pytest.approx(over_all_orders(scores, num_places), abs=1e-9)


def test_plackett_luce_equals_what_gumbel_noise_draws() -> None:
    draws = np.random.default_rng(1)
    scores = draws.normal(size=40)
    noisy = scores + 0.5 * draws.gumbel(size=(100_000, 40))
    fourth = np.argpartition(-noisy, (2, 3), axis=1)[:, 3]
    drawn = np.bincount(fourth, minlength=40) / len(noisy)
    chances = PlackettLuce(0.5).chances(scores, 4)[3]
    assert np.abs(drawn - chances).max() < 5 * np.sqrt(0.25 / len(noisy))
    assert chances.max() > 0.05


def test_a_finer_grid_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(2).normal(size=60) * 3
    coarse = PlackettLuce(1.0).chances(scores, 8)
    monkeypatch.setattr(place_chances, "_STEP", place_chances._STEP / 2)
    assert PlackettLuce(1.0).chances(scores, 8) == pytest.approx(coarse, abs=1e-9)


def test_hardly_any_temperature_is_the_best_first() -> None:
    scores = np.array([3.0, 1.0, 7.0, 5.0])
    assert PlackettLuce(1e-4).chances(scores, 4) == pytest.approx(Greedy().chances(scores, 4))


def test_much_temperature_and_epsilon_one_are_random_lists() -> None:
    scores = np.array([3.0, 1.0, 7.0, 5.0])
    for drawn in (PlackettLuce(1e9), EpsilonGreedy(1.0)):
        assert drawn.chances(scores, 3) == pytest.approx(np.full((3, 4), 0.25))


@pytest.mark.parametrize("drawn", ALL, ids=str)
def test_every_place_is_filled_and_no_item_stands_twice(drawn: DrawnList) -> None:
    chances_KN = drawn.chances(np.random.default_rng(3).normal(size=9), 5)
    assert chances_KN.sum(axis=1) == pytest.approx(np.ones(5))
    assert (chances_KN.sum(axis=0) <= 1 + 1e-9).all()
    assert (chances_KN >= 0).all()


@pytest.mark.parametrize("drawn", ALL, ids=str)
def test_places_below_the_last_candidate_stay_empty(drawn: DrawnList) -> None:
    assert drawn.chances(np.array([1.0, 2.0]), 4).sum(axis=1) == pytest.approx([1, 1, 0, 0])
    assert drawn.chances(np.empty(0), 2).shape == (2, 0)


def test_what_is_no_chance_or_temperature_is_refused() -> None:
    for epsilon in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="expected a chance from 0 to 1"):
            EpsilonGreedy(epsilon)
    for temperature in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="expected a number above 0"):
            PlackettLuce(temperature)
