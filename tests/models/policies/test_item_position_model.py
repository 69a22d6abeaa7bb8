"""Click rates by item and place: right in the limit, cautious before, blind to the own fold."""

from __future__ import annotations

import numpy as np
import pytest

from models.policies.item_position_model import NUM_FOLDS, ItemPositionModel, fold_of

PLACES = np.array([1, 2])


def taught(strength: float = 1.0) -> ItemPositionModel:
    """Item 1 is clicked half of the time at the first place, a quarter below; item 2 never."""
    model = ItemPositionModel(num_positions=2, strength=strength)
    labels = np.arange(4000) % 4
    for items, place, clicked in (([1], 1, labels < 2), ([1], 2, labels < 1), ([2], 1, labels < 0)):
        model.learn(0, items * 4000, np.full(4000, place), clicked)
    return model


def test_much_that_was_shown_gives_the_rates() -> None:
    expected = taught().expected(1, [1, 2], PLACES)
    assert expected[:, 0] == pytest.approx([0.5, 0.25], rel=0.01)
    assert expected[0, 1] == pytest.approx(0.0, abs=0.001)


def test_the_own_fold_teaches_nothing() -> None:
    model = taught()
    assert model.expected(0, [1, 2], PLACES).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    model.learn(1, [2], np.array([1]), np.array([True]))
    assert model.expected(0, [2], PLACES)[0, 0] == pytest.approx(1.0)


def test_an_item_never_met_gets_the_rate_of_the_place() -> None:
    first, second = taught(100.0).expected(1, [99], PLACES)[:, 0]
    assert first == pytest.approx(0.25, rel=0.05)
    assert second == pytest.approx(0.25, rel=0.05)


def test_little_that_was_shown_moves_little() -> None:
    model = taught(100.0)
    before = model.expected(1, [3], PLACES)[0, 0]
    model.learn(2, [3], np.array([1]), np.array([True]))
    assert before < model.expected(1, [3], PLACES)[0, 0] < before + 0.03


def test_places_below_the_last_count_as_it() -> None:
    model = taught()
    expected = model.expected(1, [1], np.array([2, 7]))
    assert expected[0, 0] == expected[1, 0]


def test_there_is_room_for_many_items() -> None:
    model = ItemPositionModel(num_positions=1, strength=1.0)
    model.learn(0, range(1000), np.ones(1000, np.int64), np.arange(1000) == 999)
    expected = model.expected(1, range(1000), np.array([1]))[0]
    assert expected.argmax() == 999
    assert expected.max() > 100 * expected[:999].max()


def test_folds_are_about_equal() -> None:
    counts = np.bincount([fold_of(f"u{number}") for number in range(5000)], minlength=NUM_FOLDS)
    assert len(counts) == NUM_FOLDS
    assert counts.min() > 900
