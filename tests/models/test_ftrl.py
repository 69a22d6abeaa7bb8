"""FTRL-Proximal: the paper's algorithm, by slate, and behind River's interface."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pytest
from river import checks, datasets, linear_model, optim

from models.ftrl import FtrlClassifier, FtrlConfig, ftrl_step, ftrl_weights, sigmoid


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


def test_the_classifier_passes_rivers_own_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    # The streams that the suite takes for a binary classifier; for other kinds of model it also
    # imports scikit-learn, which is not ours.
    def streams(_: object, scale: int = 1) -> list[Iterable[tuple[dict[Hashable, Any], Any]]]:
        labelled = list(datasets.Phishing().take(200 * scale))
        return [labelled, [(x, np.bool_(y)) for x, y in labelled]]

    monkeypatch.setattr(checks, "_yield_datasets", streams)
    model = FtrlClassifier()
    names = []
    for check in checks.yield_checks(model):
        check(model.clone())
        names.append(check.__name__)
    assert names.count("check_shuffle_features_no_impact") == 2


def test_the_classifier_predicts_like_rivers_ftrl() -> None:
    ours = FtrlClassifier(alpha=0.1)
    rivers = linear_model.LogisticRegression(optim.FTRLProximal(0.1, 1.0, 0.0, 0.0), intercept_lr=0)
    losses = [0.0, 0.0]
    truth = np.random.default_rng(1).normal(size=30)
    for number, (features, _) in enumerate(examples(2, count=3000)):
        label = bool(truth[features].sum() > 0)
        x: dict[Hashable, Any] = dict.fromkeys(features, 1.0)
        with_bias = x | {"bias": 1.0}
        theirs: dict[bool, float] = rivers.predict_proba_one(with_bias)  # type: ignore[no-untyped-call]
        for which, p in enumerate((ours.predict_proba_one(x)[label], theirs[label])):
            losses[which] -= math.log(p) if number >= 500 else 0.0
        ours.learn_one(x, label)
        rivers.learn_one(with_bias, label)
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
