"""How likely is a shown item to be clicked? An online logistic regression over one-hot features.

    logit = bias + sum of the relevance features' weights + sum of the examination features' weights

Relevance says how well item and user fit, examination whether the user looked there (position,
device). Ranking uses relevance alone; a prediction of clicks uses both.

Four engines: "slate" knows that at most one item of a slate is clicked (docs/adr/0013), "ftrl"
takes every item for itself, "pairwise" only learns which of two items is clicked rather, all a
whole slate in one step; "river" is "ftrl" by River's own LogisticRegression with FTRLProximal,
example by example. What any has learned lies in the table as numbers, so that a restored learner
goes on bit by bit as if it had never stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

import numpy as np

from models.online.columns import ColumnSpec
from models.online.ftrl import (
    FtrlConfig,
    Objective,
    click_gradients,
    ftrl_step,
    ftrl_weights,
    sigmoid,
    slate_probabilities,
)
from models.online.tables import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


Engine: TypeAlias = Literal["slate", "ftrl", "pairwise", "river"]

_OBJECTIVES: Final[dict[Engine, Objective]] = {
    "slate": "slate",
    "ftrl": "item",
    "pairwise": "pair",
    "river": "item",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHeadConfig:
    """Which engine learns, and how fast.

    Default "slate": an attribution that closes a slate at its first click leaves at most one. For
    300 slates of 20 a second, 33 features each, River's engine needs .4 of a core, ours .01
    (benchmarks/online_models.py prints both).
    """

    engine: Engine = "slate"
    ftrl: FtrlConfig = field(default_factory=FtrlConfig)


class _Engine(Protocol):
    """Learns weights."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """Those to score with."""

    def learn(
        self,
        cells: NDArray[np.integer],
        labels: NDArray[np.bool_],
        example_weights: NDArray[np.float64],
    ) -> None:
        """Takes the examples of one slate, cells int[N, C]."""

    def refresh(self) -> None:
        """Renews what is derived from the table, after a payload was taken in."""


class ClickHead:
    """p(click | shown)."""

    def __init__(self, config: ClickHeadConfig, num_weights: int) -> None:
        """Starts with every weight 0.

        Args:
            config: See there.
            num_weights: Weights that features may name, `0 <= index < num_weights`.
        """
        self._bias = num_weights
        names = ("z", "n", "w") if config.engine == "river" else ("z", "n")
        self.table = Table(
            "click",
            [ColumnSpec(name=name, dtype="float64") for name in names],
            meaning=num_weights,
        )
        self.table.grow(num_weights + 1)
        self._objective = _OBJECTIVES[config.engine]
        self._engine: _Engine
        if config.engine == "river":
            # River takes three seconds and 85 MB to import: only who asks for it pays.
            from models.online.river_engine import RiverEngine  # noqa: PLC0415

            self._engine = RiverEngine(self.table, config.ftrl)
        else:
            self._engine = _FtrlEngine(self.table, config.ftrl, self._objective)

    @property
    def evidence(self) -> float:
        """How much was learned from: about the number of clicks, where clicks are rare.

        It is the sum of the squared errors before learning, which FTRL keeps for the bias.
        """
        return float(self.table.columns["n"].cells[self._bias])

    def logits(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer] | None = None
    ) -> NDArray[np.float64]:
        """Logit of each item: int[N, R] and, where they were shown, int[N, E] give float64[N]."""
        weights = self._engine.weights
        logits: NDArray[np.float64] = weights[relevance].sum(axis=1) + weights[self._bias]
        if examination is not None:
            logits += weights[examination].sum(axis=1)
        return logits

    def probabilities(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer] | None = None
    ) -> NDArray[np.float64]:
        """p(click) of each item where it is shown alone; without `examination`, by relevance."""
        return sigmoid(self.logits(relevance, examination))

    def slate_probabilities(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer] | None = None
    ) -> NDArray[np.float64]:
        """p(click) of each item of one slate, among the others; mere scores if "pairwise"."""
        logits = self.logits(relevance, examination)
        return slate_probabilities(logits) if self._objective == "slate" else sigmoid(logits)

    @property
    def gives_probabilities(self) -> bool:
        """Whether what it predicts is one, and not only an order of a slate's items."""
        return self._objective != "pair"

    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        example_weights: NDArray[np.float64] | None = None,
    ) -> None:
        """Takes a slate whose clicks are known.

        Args:
            relevance: int[N, R].
            examination: int[N, E].
            labels: Which items were clicked, bool[N].
            example_weights: Of the items, e.g. the inverse rate at which negatives were sampled.
        """
        num_items = len(labels)
        if not num_items:
            return
        bias = np.full((num_items, 1), self._bias, dtype=np.int64)
        cells = np.concatenate([relevance, examination, bias], axis=1)
        weights = np.ones(num_items) if example_weights is None else example_weights
        self._engine.learn(cells, labels, weights)

    def refresh(self) -> None:
        """To be called after a payload was taken in."""
        self._engine.refresh()


class _FtrlEngine:
    """FTRL-Proximal, one step a slate, on the table's own arrays."""

    def __init__(self, table: Table, config: FtrlConfig, objective: Objective) -> None:
        self._objective = objective
        self._z, self._n = table.columns["z"], table.columns["n"]
        self._config = config
        self.weights = ftrl_weights(self._z.values, self._n.values, config)

    def learn(
        self,
        cells: NDArray[np.integer],
        labels: NDArray[np.bool_],
        example_weights: NDArray[np.float64],
    ) -> None:
        logits = self.weights[cells].sum(axis=1)
        gradients = click_gradients(logits, labels, self._objective)
        gradients *= example_weights
        flat = cells.ravel()
        ftrl_step(
            self._z.values,
            self._n.values,
            self.weights,
            flat,
            np.repeat(gradients, cells.shape[1]),
            self._config,
        )
        self._z.mark(flat)
        self._n.mark(flat)

    def refresh(self) -> None:
        z, n = self._z.loaded, self._n.loaded
        if z is None or n is None:
            self.weights = ftrl_weights(self._z.values, self._n.values, self._config)
        else:
            for cells in (z, n):
                self.weights[cells] = ftrl_weights(
                    self._z.values[cells], self._n.values[cells], self._config
                )
