"""The re-ranker: learns an order over slates, from a tuned one, without ruin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from models.online.reranker import COLD, Reranker, RerankerConfig
from models.online.tables import TableSet

NAMES = ["a", "b", COLD]


def new_head(**settings: float) -> Reranker:
    return Reranker(RerankerConfig(**settings), NAMES, {"a": 1.0})  # type: ignore[arg-type]


def slates(
    count: int, weights: tuple[float, float], *, cold: bool = False, seed: int = 1
) -> list[tuple[NDArray[np.float32], int]]:
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        features = np.zeros((30, 3), np.float32)
        features[:, :2] = generator.normal(size=(30, 2))
        features[:, 2] = cold
        utilities = features[:, :2] @ np.array(weights)
        p = np.exp(utilities) / np.exp(utilities).sum()
        made.append((features, int(generator.choice(30, p=p))))
    return made


def test_one_step_by_hand() -> None:
    head = new_head(learning_rate=0.5, l2=0.0)
    features = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    p = math.e / (math.e + 1)  # of the first candidate, by the tuned order
    head.learn(features, 1)
    step = 0.5 * p / math.sqrt(p * p + 1)
    assert head.weights.tolist() == pytest.approx([1 - step, step, 0, 0, 0, 0])
    assert head.log_losses == pytest.approx((-math.log(1 - p), -math.log(1 - p)))


def test_weights_of_a_conditional_logit_are_recovered() -> None:
    head = new_head()
    for features, chosen in slates(4000, (0.5, 1.5)):
        head.learn(features, chosen)
    assert head.weights[:2].tolist() == pytest.approx([0.5, 1.5], abs=0.12)
    assert head.has_taken_over


def test_cold_users_have_weights_of_their_own() -> None:
    head = new_head()
    warm, cold = slates(3000, (1.0, 0.0)), slates(3000, (0.0, 1.5), cold=True, seed=2)
    for pair in zip(warm, cold, strict=True):
        for features, chosen in pair:
            head.learn(features, chosen)
    of_warm, added = head.weights[:2], head.weights[3:5]
    assert of_warm.tolist() == pytest.approx([1.0, 0.0], abs=0.2)
    assert (of_warm + added).tolist() == pytest.approx([0.0, 1.5], abs=0.2)


def test_the_tuned_order_ranks_until_the_learned_one_has_beaten_it() -> None:
    head = new_head(min_slates=50)
    features = np.array([[2, 0, 0], [0, 3, 0]], np.float32)
    for index, (seen, chosen) in enumerate(slates(200, (0.0, 2.0))):
        if index < 50:
            assert head.utilities(features).tolist() == [2.0, 0.0]
        head.learn(seen, chosen)
    assert head.has_taken_over
    assert head.utilities(features).tolist() != [2.0, 0.0]


def test_a_learned_order_that_is_worse_does_not_rank() -> None:
    head = new_head(min_slates=1, learning_rate=5.0)
    for features, chosen in slates(100, (1.0, 0.0)):
        head.learn(features, chosen)
    learned, tuned = head.log_losses
    assert learned > tuned
    assert not head.has_taken_over


def test_absurd_features_do_not_ruin_the_weights() -> None:
    head = new_head()
    for features, _ in slates(50, (1.0, 1.0)):
        head.learn(features * np.float32(1e6), 0)
    assert np.abs(head.weights).max() < 50
    assert np.isfinite(head.weights).all()


def test_features_are_left_as_they_were_and_empty_slates_have_no_order() -> None:
    head = new_head()
    features, chosen = slates(1, (1.0, 1.0))[0]
    copy = features.copy()
    head.learn(features, chosen)
    assert features.tolist() == copy.tolist()
    assert head.utilities(features[:0]).tolist() == []


def test_a_restored_learner_goes_on_bit_by_bit() -> None:
    head, again = new_head(), new_head()
    seen = slates(60, (0.2, 1.0))
    for slate in seen[:30]:
        head.learn(*slate)
    tables, others = TableSet(head.tables), TableSet(again.tables)
    others.restore(tables.snapshot())
    for slate in seen[30:]:
        head.learn(*slate)
        again.learn(*slate)
    assert others.snapshot() == tables.snapshot()
    assert again.weights.tolist() == head.weights.tolist()


def test_an_initial_weight_of_no_feature_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found initial weights of \['c'\]"):
        Reranker(RerankerConfig(), NAMES, {"c": 1.0})


def test_where_an_item_stood_is_learned_and_never_seen_by_the_order() -> None:
    """A list in the order of "a", read from the top: "b" is what decides among equal places."""
    head = new_head()
    generator = np.random.default_rng(5)
    examination = np.array([0.0, -0.2, -0.7, -3.0])
    for _ in range(3000):
        features = np.zeros((4, 3), np.float32)
        features[:, 0] = np.sort(generator.normal(size=4))[::-1]
        features[:, 1] = generator.normal(size=4)
        utilities = 1.5 * features[:, 1] + examination
        p = np.exp(utilities) / np.exp(utilities).sum()
        head.learn(features, int(generator.choice(4, p=p)), np.arange(1, 5))
    of_a, of_b = head.weights[:2].tolist()
    assert of_b == pytest.approx(1.5, abs=0.15)
    assert abs(of_a) < 0.3
    learned = head.examination[1:5].tolist()
    assert learned[3] - learned[0] < -2.0


def test_candidates_leave_the_examination_alone() -> None:
    head = new_head()
    before = head.examination.tolist()
    for features, chosen in slates(50, (0.5, 1.5)):
        head.learn(features, chosen)
    assert head.examination.tolist() == before


def test_places_beyond_the_last_known_one_count_as_that() -> None:
    head = new_head()
    features = np.zeros((2, 3), np.float32)
    head.learn(features, 0, np.array([500, 30]))
    assert head.log_losses[0] == pytest.approx(math.log(2))
