"""What is kept of each evaluated action and slate."""

import math

import numpy as np

from streams.evaluation.outcomes import LIST, OutcomeLog, float32, int16, int32


def test_actions_keep_their_places_and_an_order_that_comes_later_is_absent_before() -> None:
    log = OutcomeLog()
    log.add_action(3, "ann", {LIST: 1}, {LIST: 2})
    log.add_action(9, "bob", {LIST: 0, "head": 4}, {LIST: 5, "head": 6})
    log.add_action(12, "ann", {LIST: 7}, {LIST: 8})

    actions = log.outcomes().actions

    assert int32(actions.event).tolist() == [3, 9, 12]
    assert int32(actions.user).tolist() == [0, 1, 0]
    assert int16(actions.served[LIST]).tolist() == [1, 0, 7]
    assert int16(actions.asked["head"]).tolist() == [-1, 6, -1]
    assert log.places("head") == ([4], [6])


def test_slates_keep_their_loss_and_the_best_place_of_a_click() -> None:
    log = OutcomeLog()
    clicked = np.array([False, True, True])
    log.add_slate(5, "ann", np.array([0.5, 0.2, 0.25]), clicked)
    log.add_slate(6, "ann", np.array([0.5]), np.array([False]))

    slates = log.outcomes().slates

    assert (int32(slates.items).tolist(), int32(slates.clicks).tolist()) == ([3, 1], [2, 0])
    assert int32(slates.rank).tolist() == [2, 0]
    expected = [-math.log(0.5) - math.log(0.2) - math.log(0.25), -math.log(0.5)]
    np.testing.assert_allclose(float32(slates.logloss), expected, rtol=1e-6)


def test_a_run_without_anything_gives_empty_columns() -> None:
    outcomes = OutcomeLog().outcomes()

    assert outcomes.actions.event == b""
    assert outcomes.slates.rank == b""
    assert outcomes.actions.served == {}
