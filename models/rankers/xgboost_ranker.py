"""How do boosted trees rank slates? XGBoost on the logged features, trained anew now and then.

The features are the click head's: of each template the bin, as a number, and what its parts are is
for the trees to find. Positions are hidden from a tenth of the training slates, so that the trees
know how to go on where there is none: at serving.

Only who configures it needs the package `xgboost-cpu` or `xgboost`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import xgboost

from models.online.ftrl import sigmoid, slate_probabilities
from models.rankers.slate_ranker import RankerRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.rankers.slate_ranker import Predicts, SlateShape

XgboostObjective: TypeAlias = Literal["slate", "binary:logistic", "rank:ndcg"]

TREES = "trees.ubj"
_LEAST_CURVATURE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class XgboostConfig:
    """How the trees grow.

    Attributes:
        objective: "slate": the choice of one item among all and none (docs/adr/0013); XGBoost's
            "binary:logistic"; "rank:ndcg", which gives an order and no probabilities.
        num_trees: Of one training.
        learning_rate: Of each tree.
        max_depth: Of each.
        row_share: Share of the items that each is grown on.
        column_share: Share of the features.
        l2: Penalty of leaves.
        min_child_weight: Least curvature of a leaf.
        hidden_share: Share of the slates whose positions are hidden.
        seed: Of all that is drawn.
    """

    objective: XgboostObjective = "slate"
    num_trees: int = 80
    learning_rate: float = 0.1
    max_depth: int = 5
    row_share: float = 0.8
    column_share: float = 0.5
    l2: float = 5.0
    min_child_weight: float = 2.0
    hidden_share: float = 0.1
    seed: int = 1


class XgboostRanker:
    """Trees, and the log that the next ones will be trained on."""

    def __init__(self, shape: SlateShape, config: XgboostConfig) -> None:
        """Start with no trees: every item of a slate is as good as the others."""
        self._shape = shape
        self._config = config
        self._trees: xgboost.Booster | None = None
        self._rows: list[NDArray[np.uint16]] = []
        self._labels: list[NDArray[np.bool_]] = []

    @property
    def is_batched(self) -> bool:
        """A call costs as much as scoring 200 items; each row's leaves are added alone."""
        return True

    @property
    def predicts(self) -> Predicts:
        """See `SlateRanker`, as all of these."""
        return "order" if self._config.objective == "rank:ndcg" else "clicks"

    @property
    def is_trained(self) -> bool:
        """Whether there are trees."""
        return self._trees is not None

    def predicted(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Among the slate's others; before the first training each item's equal share."""
        if self._trees is None:
            return np.full(len(relevance), 1 / (1 + len(relevance)))
        utilities = self.utilities(relevance, examination)
        if self._config.objective == "binary:logistic":
            return sigmoid(utilities)
        return utilities if self.predicts == "order" else slate_probabilities(utilities)

    def utilities(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """The trees' sums of which `predicted` is a function, float64[N]; once there are some."""
        return self._sums(self._bins(relevance, examination).astype(np.float32))

    def scores(self, relevance: NDArray[np.integer]) -> NDArray[np.float64]:
        """By the trees' branches for those without a position."""
        if self._trees is None:
            return np.zeros(len(relevance))
        num_columns = len(self._shape.offsets) - 1
        columns = np.full((len(relevance), num_columns), np.nan, np.float32)
        num_relevance = self._shape.num_relevance
        columns[:, :num_relevance] = relevance - self._shape.offsets[:num_relevance]
        return self._sums(columns)

    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        watch_times: NDArray[np.float64] | None = None,  # noqa: ARG002 - of the contract
    ) -> None:
        """Log it for the next training."""
        if len(labels):
            self._rows.append(self._bins(relevance, examination))
            self._labels.append(labels.copy())

    def refresh(self) -> XgboostRanker | None:
        """Train; the log is shared with what is returned. None without a click in the log."""
        if not any(labels.any() for labels in self._labels):
            return None
        sizes = np.array([len(labels) for labels in self._labels])
        labels = np.concatenate(self._labels)
        columns = np.concatenate(self._rows).astype(np.float32)
        draws = np.random.default_rng(self._config.seed)
        hidden = np.repeat(draws.random(len(sizes)) < self._config.hidden_share, sizes)
        columns[hidden, self._shape.num_relevance :] = np.nan
        trained = XgboostRanker(self._shape, self._config)
        trained._rows, trained._labels = self._rows, self._labels
        trained._trees = self._grow(columns, labels, sizes)
        return trained

    @property
    def settings(self) -> Mapping[str, Any]:
        """The objective; trees of any other number or depth fit."""
        return {"objective": self._config.objective}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The trees in XGBoost's own format, UBJ, as bytes; nothing before the first training."""
        if self._trees is None:
            return {}
        return {TREES: np.frombuffer(self._trees.save_raw("ubj"), np.uint8)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The same; the log stays."""
        if not arrays:
            self._trees = None
            return
        num_columns = len(self._shape.offsets) - 1
        trees = xgboost.Booster({"nthread": 1})
        try:
            trees.load_model(bytearray(arrays[TREES].astype(np.uint8).tobytes()))
        except (KeyError, xgboost.core.XGBoostError) as error:
            raise RankerRefused(f"found no trees of XGBoost ({error}); train anew") from error
        if trees.num_features() != num_columns:
            raise RankerRefused(
                f"found trees over {trees.num_features()} features, expected {num_columns}; "
                "train anew"
            )
        self._trees = trees

    def _bins(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.uint16]:
        cells = np.concatenate([relevance, examination], axis=1)
        return (cells - self._shape.offsets[:-1]).astype(np.uint16)

    def _sums(self, columns: NDArray[np.float32]) -> NDArray[np.float64]:
        assert self._trees is not None
        margins = self._trees.inplace_predict(columns, predict_type="margin")
        return np.asarray(margins, np.float64)

    def _grow(
        self,
        columns: NDArray[np.float32],
        labels: NDArray[np.bool_],
        sizes: NDArray[np.int64],
    ) -> xgboost.Booster:
        config = self._config
        data = xgboost.DMatrix(columns, labels.astype(np.float32))
        parameters: dict[str, Any] = {
            "nthread": 1,
            "seed": config.seed,
            "tree_method": "hist",
            "eta": config.learning_rate,
            "max_depth": config.max_depth,
            "subsample": config.row_share,
            "colsample_bytree": config.column_share,
            "lambda": config.l2,
            "min_child_weight": config.min_child_weight,
        }
        if config.objective != "slate":
            parameters["objective"] = config.objective
            if config.objective == "rank:ndcg":
                data.set_group(sizes)
            return xgboost.train(parameters, data, config.num_trees)
        parameters |= {"base_score": 0.0, "disable_default_eval_metric": True}
        choices = _Choices(labels, sizes)
        return xgboost.train(parameters, data, config.num_trees, obj=choices.derivatives)


class _Choices:
    """The choice among a slate's items and none, for all slates at a time."""

    def __init__(self, labels: NDArray[np.bool_], sizes: NDArray[np.int64]) -> None:
        self._labels = labels
        self._sizes = sizes
        self._starts = sizes.cumsum() - sizes
        clicks = np.add.reduceat(labels.astype(np.int64), self._starts)
        self._num_choices = np.repeat(np.maximum(clicks, 1), sizes)

    def derivatives(
        self, utilities: NDArray[np.float32], _data: xgboost.DMatrix
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """First and second derivative of the loss by each item's utility."""
        wide = utilities.astype(np.float64)
        highest_B = np.maximum(np.maximum.reduceat(wide, self._starts), 0.0)
        weights = np.exp(wide - np.repeat(highest_B, self._sizes))
        sums_B = np.add.reduceat(weights, self._starts) + np.exp(-highest_B)
        shares = weights / np.repeat(sums_B, self._sizes)
        curvatures = np.maximum(self._num_choices * shares * (1 - shares), _LEAST_CURVATURE)
        return self._num_choices * shares - self._labels, curvatures
