"""FTRL-Proximal behind River's interface, by name and by slate."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pytest
from river import checks, datasets, linear_model, optim

from models.online.click_head import ClickHead, ClickHeadConfig
from models.online.ftrl_classifier import FtrlClassifier
from tests.models.online.test_ftrl import examples


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


def coded_slates(model: FtrlClassifier, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(3)
    made = []
    for _ in range(count):
        colours, sizes = generator.integers(0, 9, (2, 5)).tolist()
        slate: list[dict[Hashable, Hashable]] = [
            {"colour": f"c{colour}", "size": size}
            for colour, size in zip(colours, sizes, strict=True)
        ]
        labels = np.zeros(5, np.bool_)
        labels[int(np.argmax(colours))] = generator.random() < 0.8
        made.append((model.code(slate), labels))
    return made


@pytest.mark.parametrize("by_slate", [True, False])
def test_by_slate_it_is_the_click_heads_very_model(by_slate: bool) -> None:  # noqa: FBT001
    model = FtrlClassifier(by_slate=by_slate)
    head = ClickHead(ClickHeadConfig(engine="slate" if by_slate else "ftrl"), 50)
    none = np.empty((5, 0), np.int64)
    slates = coded_slates(model, 100)
    for cells, labels in slates:
        expected = head.slate_probabilities(cells)
        assert model.predict_proba_slate(cells) == pytest.approx(expected, abs=1e-12)
        model.learn_slate(cells, labels)
        head.learn(cells, none, labels)
    in_one = FtrlClassifier(by_slate=by_slate)
    in_one.code([{"any": number} for number in range(30)])
    in_one.learn_many(
        np.concatenate([cells for cells, _ in slates]),
        np.concatenate([labels for _, labels in slates]),
        [5] * len(slates),
    )
    last = slates[-1][0]
    assert in_one.predict_proba_slate(last).tolist() == model.predict_proba_slate(last).tolist()


def test_by_name_and_by_slate_speak_of_the_same_weights() -> None:
    model = FtrlClassifier()
    for cells, labels in coded_slates(model, 100):
        model.learn_slate(cells, labels)
    x: dict[Hashable, Any] = {"colour": "c8"}
    alone = model.predict_proba_slate(model.code([x]))
    assert model.predict_proba_one(x)[True] == pytest.approx(alone[0])
    assert model.predict_proba_one(x)[True] > model.predict_proba_one({"colour": "c0"})[True]


def test_a_full_vocabulary_forgets_what_was_used_least_recently() -> None:
    model = FtrlClassifier(max_features=2)
    for name in ("old", "kept", "kept", "new"):
        model.learn_one({name: 1.0}, True)
    base_rate = model.predict_proba_one({})[True]
    assert model.predict_proba_one({"old": 1.0})[True] == base_rate
    assert model.predict_proba_one({"kept": 1.0})[True] > base_rate
    assert model.predict_proba_one({"new": 1.0})[True] > base_rate


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at most max_features, 2"):
        FtrlClassifier(max_features=2).code([{"a": 1, "b": 2}, {"a": 1, "b": 3}])
    with pytest.raises(ValueError, match="name a missing value None"):
        FtrlClassifier().code([{"a": 1, "b": 2}, {"a": 1}])
    with pytest.raises(ValueError, match="expected equal numbers"):
        FtrlClassifier().learn_many(np.zeros((2, 1), np.int64), np.zeros(2, np.bool_), [3])
    with pytest.raises(ValueError, match="expected at least 1"):
        FtrlClassifier(max_features=0)
