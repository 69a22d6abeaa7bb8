"""How do weights of crosses and layers over embeddings learn as one model? Wide & deep.

Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016: one logit is the sum of

- the wide part, which memorises: weights of the features themselves and of their cross-products
  (`models.rankers.crosses`), by FTRL-Proximal with an L1 penalty, so that most crosses weigh
  exactly 0;
- the deep part, which generalises: layers over embeddings (`models.rankers.embedded_layers`), by
  AdaGrad.

Both are trained jointly: the loss is of the sum, and its gradient reaches both in the same step
(section 3.3), so that each learns what the other does not explain. An ensemble would not.

Where we differ: a step is a slate, when its answer is known, where the paper trains anew on batches
from the old weights. Crosses are of relevance features alone, whose examination features are
crosses of the position already.

For serving, which knows no position, the deep part has to be used to missing ones: every
`hide_every`-th slate is learned without examination features.

Shape letters: N items, R relevance and E examination features of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from models.online.ftrl import FtrlConfig, ftrl_step, ftrl_weights
from models.rankers.crosses import Crosses
from models.rankers.embedded_layers import EmbeddedLayers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.rankers.slate_ranker import SlateShape


@dataclass(frozen=True, slots=True, kw_only=True)
class WideDeepConfig:
    """Sizes and rates; chosen on the first fifth of a log of hotel slates.

    Attributes:
        is_wide: Whether there are weights of features and crosses at all.
        is_deep: Whether there are layers.
        features: FTRL of the features' own weights.
        crosses: FTRL of the crosses. There are a dozen times as many of them as of features, so
            they move the less each.
        max_crosses: Weights of crosses; beyond it pairs share one.
        width: Of an embedding.
        layers: Widths of the layers.
        learning_rate: Of AdaGrad.
        initial_squares: What AdaGrad's sums begin with.
        hide_every: Which slates are learned without positions.
        seed: Of the deep part's first numbers.
    """

    is_wide: bool = True
    is_deep: bool = True
    features: FtrlConfig = field(default_factory=FtrlConfig)
    crosses: FtrlConfig = field(default_factory=lambda: FtrlConfig(alpha=0.002, l1=0.5))
    max_crosses: int = 1 << 20
    width: int = 8
    layers: tuple[int, ...] = (64, 32)
    learning_rate: float = 0.01
    initial_squares: float = 0.1
    hide_every: int = 10
    seed: int = 1


class WideDeep:
    """One logit an item."""

    def __init__(self, shape: SlateShape, config: WideDeepConfig) -> None:
        """Begin with nothing learned."""
        num_indices, num_features = int(shape.offsets[-1]), len(shape.offsets) - 1
        self._config = config
        self._bias = num_indices
        self._crosses = Crosses(shape.offsets[: shape.num_relevance + 1], config.max_crosses)
        self._features = _Weights((num_indices + 1) * config.is_wide, config.features)
        self._of_crosses = _Weights(self._crosses.num_cells * config.is_wide, config.crosses)
        self._deep = EmbeddedLayers(
            num_indices,
            num_features,
            width=config.width,
            layers=config.layers,
            learning_rate=config.learning_rate,
            initial_squares=config.initial_squares,
            seed=config.seed,
        )
        self._num_steps = 0

    @property
    def cross_weights(self) -> NDArray[np.float64]:
        """Of all crosses, most of them 0; not to be changed."""
        return self._of_crosses.w

    def logits(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer] | None = None
    ) -> NDArray[np.float64]:
        """Logit of each item: int[N, R] and, where they were shown, int[N, E] give float64[N]."""
        return self._logits(relevance, _joined(relevance, examination))

    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        gradients_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> None:
        """Take one step of both parts.

        Args:
            relevance: int[N, R].
            examination: int[N, E].
            gradients_of: Of the loss by the logits, for the logits before the step, float64[N].
        """
        if not len(relevance):
            return
        self._num_steps += 1
        is_hidden = self._num_steps % self._config.hide_every == 0
        indices = _joined(relevance, None if is_hidden else examination)
        gradients = gradients_of(self._logits(relevance, indices))
        if self._config.is_wide:
            bias = np.full((len(indices), 1), self._bias)
            self._features.learn(np.concatenate([indices, bias], axis=1), gradients)
            self._of_crosses.learn(self._crosses.cells(relevance), gradients)
        if self._config.is_deep:
            self._deep.learn(indices, gradients)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return all that was learned, by name; the very arrays, not copies."""
        wide = {"features": self._features, "crosses": self._of_crosses}
        sums = {
            f"wide.{part}.{name}": values
            for part, weights in wide.items()
            for name, values in (("z", weights.z), ("n", weights.n))
        }
        return {**sums, **self._deep.arrays()}

    def refresh(self) -> None:
        """Renew what is derived from the arrays, after they were filled."""
        self._features.refresh()
        self._of_crosses.refresh()

    def _logits(
        self, relevance: NDArray[np.integer], indices: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        logits = np.zeros(len(relevance))
        if self._config.is_wide:
            weights = self._features.w
            logits += weights[indices].sum(axis=1) + weights[self._bias]
            logits += self._of_crosses.w[self._crosses.cells(relevance)].sum(axis=1)
        if self._config.is_deep:
            logits += self._deep.numbers(indices)
        return logits


class _Weights:
    """Weights of one-hot features, by FTRL-Proximal."""

    def __init__(self, num_weights: int, config: FtrlConfig) -> None:
        self.z, self.n = np.zeros(num_weights), np.zeros(num_weights)
        self._config = config
        self.w = np.zeros(num_weights)

    def learn(self, cells: NDArray[np.integer], gradients: NDArray[np.float64]) -> None:
        """Take a step: the cells int[N, F] of each item with its gradient."""
        repeated = np.repeat(gradients, cells.shape[1])
        ftrl_step(self.z, self.n, self.w, cells.ravel(), repeated, self._config)

    def refresh(self) -> None:
        """Derive the weights from z and n."""
        self.w = ftrl_weights(self.z, self.n, self._config)


def _joined(
    relevance: NDArray[np.integer], examination: NDArray[np.integer] | None
) -> NDArray[np.integer]:
    if examination is None:
        return relevance
    return np.concatenate([relevance, examination], axis=1)
