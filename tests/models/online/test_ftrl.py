"""FTRL-Proximal: the paper's algorithm, by slate, and behind River's interface."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from models.online.ftrl import (
    FtrlConfig,
    click_gradients,
    ftrl_step,
    ftrl_weights,
    sigmoid,
    slate_probabilities,
)


class McMahan:
    """Algorithm 1 of the paper, written down a second time, one weight after the other."""

    def __init__(self, config: FtrlConfig) -> None:
        self.config = config
        self.z: dict[int, float] = {}
        self.n: dict[int, float] = {}

    def weight(self, i: int) -> float:
        c, z, n = self.config, self.z.get(i, 0.0), self.n.get(i, 0.0)
        if abs(z) <= c.l1:
            return 0.0
        return -(z - math.copysign(c.l1, z)) / ((c.beta + math.sqrt(n)) / c.alpha + c.l2)

    def learn(self, features: list[int], *, label: bool) -> None:
        p = 1 / (1 + math.exp(-sum(self.weight(i) for i in features)))
        weights = {i: self.weight(i) for i in features}
        for i in features:
            g = p - label
            n = self.n.get(i, 0.0)
            sigma = (math.sqrt(n + g * g) - math.sqrt(n)) / self.config.alpha
            self.z[i] = self.z.get(i, 0.0) + g - sigma * weights[i]
            self.n[i] = n + g * g


def examples(seed: int, count: int = 200) -> list[tuple[list[int], bool]]:
    generator = random.Random(seed)
    return [(generator.sample(range(30), 5), generator.random() < 0.3) for _ in range(count)]


@pytest.mark.parametrize("config", [FtrlConfig(), FtrlConfig(alpha=0.05, beta=0.5, l1=0.1, l2=0.3)])
def test_one_example_a_step_is_algorithm_1_of_the_paper(config: FtrlConfig) -> None:
    reference = McMahan(config)
    z, n, w = np.zeros(30), np.zeros(30), np.zeros(30)
    for features, label in examples(1):
        reference.learn(features, label=label)
        cells = np.array(features)
        gradient = sigmoid(w[cells].sum(keepdims=True)) - label
        ftrl_step(z, n, w, cells, np.repeat(gradient, 5), config)
    expected = [reference.weight(i) for i in range(30)]
    assert w.tolist() == pytest.approx(expected, abs=1e-12)
    assert ftrl_weights(z, n, config).tolist() == w.tolist()


def test_a_cell_named_twice_takes_the_sum_of_gradients_and_of_their_squares() -> None:
    config = FtrlConfig(alpha=1.0, beta=1.0)
    z, n, w = np.array([-2.0]), np.array([1.0]), np.array([1.0])
    ftrl_step(z, n, w, np.array([0, 0]), np.array([1.0, 2.0]), config)
    # n = 1 + 1 + 4; z = -2 + 3 - (sqrt(6) - 1) 1; w = -z / (1 + sqrt(6))
    assert n[0] == 6.0
    assert z[0] == pytest.approx(2 - math.sqrt(6))
    assert w[0] == pytest.approx((math.sqrt(6) - 2) / (1 + math.sqrt(6)))


def test_settings_that_cannot_learn_are_refused() -> None:
    with pytest.raises(ValueError, match="expected alpha above 0"):
        FtrlConfig(alpha=0)
    with pytest.raises(ValueError, match="weights would be 0/0"):
        FtrlConfig(beta=0, l2=0)


def test_by_slate_the_gradient_is_that_of_the_choice_among_the_items_and_none() -> None:
    logits, labels = np.array([0.5, -1.0, 2.0]), np.array([False, True, False])

    def loss(at: np.ndarray) -> float:
        return float(-np.log(slate_probabilities(at)[1]))

    nudged = [(loss(logits + 1e-6 * one) - loss(logits - 1e-6 * one)) / 2e-6 for one in np.eye(3)]
    found = click_gradients(logits, labels, "slate")
    assert found.tolist() == pytest.approx(nudged, abs=1e-8)


def test_by_slate_an_unclicked_slate_speaks_for_none_of_its_items() -> None:
    logits, labels = np.array([0.5, -1.0]), np.zeros(2, np.bool_)
    found = click_gradients(logits, labels, "slate")
    assert found.tolist() == slate_probabilities(logits).tolist()


def test_a_slate_of_one_is_logistic_and_large_utilities_do_not_overflow() -> None:
    assert slate_probabilities(np.array([1.3])) == pytest.approx(sigmoid(np.array([1.3])))
    assert slate_probabilities(np.array([900.0, 900.0])).tolist() == [0.5, 0.5]
    assert slate_probabilities(np.array([-900.0])).tolist() == [0.0]
    assert slate_probabilities(np.empty(0)).tolist() == []


def test_in_pairs_the_gradient_is_that_of_the_order_and_without_a_click_there_is_none() -> None:
    logits, labels = np.array([0.5, -1.0, 2.0]), np.array([False, True, False])

    def loss(at: np.ndarray) -> float:
        return float(np.log1p(np.exp(at[[0, 2]] - at[1])).mean())

    nudged = [(loss(logits + 1e-6 * one) - loss(logits - 1e-6 * one)) / 2e-6 for one in np.eye(3)]
    assert click_gradients(logits, labels, "pair").tolist() == pytest.approx(nudged, abs=1e-8)
    assert not click_gradients(logits, np.zeros(3, np.bool_), "pair").any()
    assert not click_gradients(logits, np.ones(3, np.bool_), "pair").any()
