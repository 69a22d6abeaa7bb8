"""Explored lists: how often, of what, and with which propensities."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.policies.exploration import (
    ExplorationConfig,
    Ordered,
    Seed,
    Slate,
    best_list,
    gumbel_noise,
    ordered,
    seed_of,
)
from models.ranking import NO_CATEGORY

SCORES = np.array([1.2, 0.9, 0.7, 0.1, -0.2, -0.9, -1.0, -1.4])
KEYS = np.arange(1, 9, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
FREE = np.full(8, NO_CATEGORY)
TWO_KINDS = np.array([0, 0, 0, 0, 1, 1, 1, NO_CATEGORY])


def made(slate: Slate, config: ExplorationConfig, number: int) -> Ordered:
    return ordered(slate, slate.scores, KEYS, config, seed_of("u1", f"e{number}"))


@pytest.mark.parametrize(
    ("categories", "cap", "num", "depth"),
    [(FREE, 0, 4, 100), (FREE, 0, 3, 5), (TWO_KINDS, 1, 3, 100), (TWO_KINDS, 1, 5, 100)],
)
def test_propensities_are_how_often_an_item_stands_at_its_place(
    categories: np.ndarray, cap: int, num: int, depth: int
) -> None:
    slate = Slate(SCORES, categories, cap, num)
    config = ExplorationConfig(share=0.6, temperature=0.8, depth=depth)
    num_lists = 2_000
    stood: Counter[tuple[int, int]] = Counter()
    told: dict[tuple[int, int], float] = {}
    for number in range(num_lists):
        one = made(slate, config, number)
        assert one.propensities is not None
        cells = list(enumerate(one.order.tolist()))
        stood.update(cells)
        told.update(zip(cells, one.propensities.tolist(), strict=True))

    for cell, propensity in told.items():
        error = np.sqrt(propensity * (1 - propensity) / num_lists)
        assert abs(stood[cell] / num_lists - propensity) < 4.5 * error, cell
    # Every place is filled, so that over all items its chances add up to 1.
    of_places = np.zeros(num)
    for (place, _), propensity in told.items():
        of_places[place] += propensity
    assert of_places == pytest.approx(np.ones(num), abs=1e-2)


def test_a_share_of_the_lists_is_drawn_and_the_others_have_the_best_first() -> None:
    slate, config = Slate(SCORES, FREE, 0, 4), ExplorationConfig(share=0.25)
    lists = [made(slate, config, number) for number in range(2_000)]

    ranked = [one for one in lists if not one.is_explored]

    assert 0.72 < len(ranked) / len(lists) < 0.78
    assert {tuple(one.order.tolist()) for one in ranked} == {(0, 1, 2, 3)}
    assert len({tuple(one.order.tolist()) for one in lists if one.is_explored}) > 200


def test_drawn_are_the_best_so_many_and_never_fewer_than_a_list_holds() -> None:
    def seen(depth: int) -> set[int]:
        slate, config = Slate(SCORES, FREE, 0, 3), ExplorationConfig(share=1, depth=depth)
        lists = [made(slate, config, number) for number in range(300)]
        return {item for one in lists for item in one.order.tolist()}

    assert seen(5) == {0, 1, 2, 3, 4}
    assert seen(1) == {0, 1, 2}


def test_a_cap_holds_in_drawn_lists() -> None:
    slate, config = Slate(SCORES, TWO_KINDS, 1, 3), ExplorationConfig(share=1)
    for number in range(200):
        kinds = TWO_KINDS[made(slate, config, number).order].tolist()
        assert sorted(kinds) == [NO_CATEGORY, 0, 1]


def test_the_same_event_draws_the_same_list_and_another_one_another() -> None:
    slate, config = Slate(SCORES, FREE, 0, 4), ExplorationConfig(share=1)

    first, again, other = (made(slate, config, number) for number in (1, 1, 2))

    assert first.order.tolist() == again.order.tolist()
    assert first.order.tolist() != other.order.tolist()
    assert seed_of("u1", "e1") != seed_of("u2", "e1")
    assert seed_of("u1", "e1") != seed_of("u1e", "1")


def test_an_items_noise_does_not_depend_on_what_is_beside_it() -> None:
    noise = gumbel_noise(5, KEYS)

    assert gumbel_noise(5, KEYS[3:]).tolist() == noise[3:].tolist()


def test_noise_is_of_the_gumbel_distribution() -> None:
    noise = gumbel_noise(12345, np.arange(200_000, dtype=np.uint64))

    assert noise.mean() == pytest.approx(0.57722, abs=0.01)
    assert noise.var() == pytest.approx(np.pi**2 / 6, abs=0.03)
    # Of 200,000 numbers in a row neighbours have nothing to do with each other.
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.01


def test_where_nothing_is_drawn_nothing_is_computed() -> None:
    one = best_list(Slate(SCORES, TWO_KINDS, 1, 3))

    assert one.order.tolist() == [0, 4, 7]
    assert one.propensities is None
    assert not one.is_explored


def test_no_candidates_are_an_empty_list() -> None:
    empty = Slate(np.empty(0), np.empty(0, np.int64), 0, 4)
    no_keys = np.empty(0, np.uint64)

    one = ordered(empty, empty.scores, no_keys, ExplorationConfig(share=1), Seed(0, 0))

    assert one.order.tolist() == []


def test_a_propensity_is_never_nothing() -> None:
    slate = Slate(SCORES * 1e6, FREE, 0, 4)
    config = ExplorationConfig(share=1, temperature=0.01)

    propensities = made(slate, config, 1).propensities

    assert propensities is not None
    assert propensities == pytest.approx(np.ones(4), abs=1e-5)
    assert (propensities > 0).all()


def test_every_bad_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"share from 0 to 1, temperature .*, depth at least 1"):
        ExplorationConfig(share=1.5, temperature=0, depth=0)
