"""How is FTRL-Proximal used among River's models, one example or one slate at a time?

The step is `models.online.ftrl`'s, the very one that the click head takes. By name it is an
estimator like any of River's; where speed counts, a slate's features are coded as integers once
(`code`), and predicting and learning take the integers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from river import base
from typing_extensions import override

from models.online.feature_vocabulary import FeatureVocabulary
from models.online.ftrl import (
    MAX_LOGIT,
    FtrlConfig,
    click_gradients,
    ftrl_step,
    sigmoid,
    slate_probabilities,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

_FIRST_CELLS = 16


class FtrlClassifier(base.Classifier):
    """Logistic regression with FTRL-Proximal behind River's interface.

    A number counts as it is; anything else, a string say, is a feature of its own for each value.
    It includes an intercept, learned like any weight.

    Args:
        alpha: Learning rate.
        beta: Smooths the first steps.
        l1: Weights whose |z| stays below are exactly 0.
        l2: Shrinks weights.
        by_slate: Whether at most one example of a slate is positive (see
            `models.online.ftrl.slate_probabilities`); it changes nothing for slates of one.
        max_features: Known at a time; beyond it the least recently learned ones are forgotten.

    >>> model = FtrlClassifier()
    >>> for _ in range(300):
    ...     model.learn_one({"rain": 1.0}, True)
    ...     model.learn_one({"rain": 0.0}, False)
    >>> round(model.predict_proba_one({"rain": 1.0})[True], 2)
    0.8
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 0.0,
        *,
        by_slate: bool = True,
        max_features: int = 1_000_000,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.l1 = l1
        self.l2 = l2
        self.by_slate = by_slate
        self.max_features = max_features
        self._config = FtrlConfig(alpha=alpha, beta=beta, l1=l1, l2=l2)
        self._vocabulary = FeatureVocabulary(max_features)
        # The intercept's weight is the first.
        self._z, self._n, self._w = (np.zeros(_FIRST_CELLS) for _ in range(3))

    # --- by name, one example a call

    @override
    def predict_proba_one(
        self, x: dict[Hashable, Any], **kwargs: Any
    ) -> dict[base.typing.ClfTarget, float]:
        """Probability of each class; features that were never learned count for nothing."""
        logit = float(self._w[0])
        for name, value in x.items():
            feature, number = _one_hot(name, value)
            cell = self._vocabulary.find(feature)
            if cell is not None:
                logit += number * float(self._w[cell])
        p = 1.0 / (1.0 + math.exp(-max(-MAX_LOGIT, min(MAX_LOGIT, logit))))
        return {False: 1.0 - p, True: p}

    @override
    def learn_one(self, x: dict[Hashable, Any], y: base.typing.ClfTarget, w: float = 1.0) -> None:
        """Takes one step; `w` scales the example's gradient.

        Raises:
            ValueError: It has more features than may be known.
        """
        features = [_one_hot(name, value) for name, value in x.items()]
        self._check_room(len(features))
        cells = np.array([0, *[self._vocabulary.use(feature) for feature, _ in features]])
        self._make_room()
        values = np.array([1.0, *[number for _, number in features]])
        gradient = (self.predict_proba_one(x)[True] - float(y)) * w
        ftrl_step(self._z, self._n, self._w, cells, gradient * values, self._config)

    # --- by integers, one slate a call

    def code(self, slate: Sequence[Mapping[Hashable, Hashable]]) -> NDArray[np.int64]:
        """The cells of a slate's examples, all of as many features, int64[N, C].

        Every value is a feature of its own, numbers included. The cells stand until a later call
        has met `max_features` others: code, predict, wait for the answer, learn.

        Raises:
            ValueError: The slate has more features than may be known, or its examples have
                different numbers of them.
        """
        self._check_room(sum(map(len, slate)))
        use = self._vocabulary.use
        cells = [use(feature) for example in slate for feature in example.items()]
        self._make_room()
        num_features = len(slate[0]) if slate else 0
        if any(len(example) != num_features for example in slate):
            raise ValueError(
                f"found examples of {sorted({len(example) for example in slate})} features in one "
                "slate, expected as many in each: name a missing value None"
            )
        return np.array(cells, np.int64).reshape(len(slate), num_features)

    def predict_proba_slate(self, cells: NDArray[np.integer]) -> NDArray[np.float64]:
        """Probability that each of a slate's examples is positive: int[N, C] gives float64[N]."""
        logits = self._w[cells].sum(axis=1) + self._w[0]
        return slate_probabilities(logits) if self.by_slate else sigmoid(logits)

    def learn_slate(self, cells: NDArray[np.integer], labels: NDArray[np.bool_]) -> None:
        """Takes one step for a whole slate, int[N, C] and bool[N]."""
        logits = self._w[cells].sum(axis=1) + self._w[0]
        gradients = click_gradients(logits, labels, "slate" if self.by_slate else "item")
        flat = np.concatenate([cells.ravel(), np.zeros(len(cells), np.int64)])
        each = np.concatenate([np.repeat(gradients, cells.shape[1]), gradients])
        ftrl_step(self._z, self._n, self._w, flat, each, self._config)

    def learn_many(
        self,
        cells: NDArray[np.integer],
        labels: NDArray[np.bool_],
        sizes: Sequence[int] | NDArray[np.integer],
    ) -> None:
        """Takes slates of these sizes, laid end to end, one step each in their order.

        Raises:
            ValueError: The sizes do not add up.
        """
        if int(sum(sizes)) != len(cells) or len(cells) != len(labels):
            raise ValueError(
                f"found slates of {int(sum(sizes))} examples in all, {len(cells)} rows of cells "
                f"and {len(labels)} labels, expected equal numbers"
            )
        start = 0
        for size in sizes:
            end = start + int(size)
            self.learn_slate(cells[start:end], labels[start:end])
            start = end

    def _check_room(self, num_features: int) -> None:
        if num_features > self.max_features:
            raise ValueError(
                f"found {num_features} features at once, expected at most max_features, "
                f"{self.max_features}: two of them would share a weight"
            )

    def _make_room(self) -> None:
        """Lets the weights follow the vocabulary."""
        if reused := self._vocabulary.take_reused():
            for column in (self._z, self._n, self._w):
                column[reused] = 0.0
        size = self._z.size
        while size <= len(self._vocabulary):
            size *= 2
        if size > self._z.size:
            more = np.zeros(size - self._z.size)
            self._z, self._n, self._w = (
                np.concatenate([column, more]) for column in (self._z, self._n, self._w)
            )


def _one_hot(name: Hashable, value: object) -> tuple[Hashable, float]:
    """A feature's name and its number."""
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return name, float(value)
    return (name, value), 1.0
