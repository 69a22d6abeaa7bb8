"""How does River's own logistic regression learn the click head's weights?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from river import linear_model, optim, utils

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.online.columns import Column
    from models.online.ftrl import FtrlConfig
    from models.online.tables import Table


class RiverEngine:
    """River's LogisticRegression, one example after the other, mirrored into the table."""

    def __init__(self, table: Table, config: FtrlConfig) -> None:
        self._columns: list[Column] = [table.columns[name] for name in ("z", "n", "w")]
        self._config = config
        self.refresh()

    @property
    def weights(self) -> NDArray[np.float64]:
        """Those to score with."""
        return self._columns[2].values

    def learn(
        self,
        cells: NDArray[np.integer],
        labels: NDArray[np.bool_],
        example_weights: NDArray[np.float64],
    ) -> None:
        """Takes the examples of one slate, cells int[N, C], one after the other."""
        model = self._model
        for row, label, weight in zip(
            cells.tolist(), labels.tolist(), example_weights.tolist(), strict=True
        ):
            features: dict[int, float] = {}
            for cell in row:
                features[cell] = features.get(cell, 0.0) + 1.0
            model.learn_one(features, label, weight)
        self._mirror(np.unique(cells).tolist())

    def _mirror(self, cells: list[int]) -> None:
        model = self._model
        sources = (model.optimizer.z, model.optimizer.n, model._weights)  # noqa: SLF001
        for column, source in zip(self._columns, sources, strict=True):
            for cell in cells:
                column.put(cell, source[cell])

    def refresh(self) -> None:
        """Builds River's model from the table; it then goes on bit by bit."""
        config = self._config
        optimizer = optim.FTRLProximal(config.alpha, config.beta, config.l1, config.l2)
        # The bias is a feature: River's own intercept learns by SGD, at a rate of its own.
        self._model = linear_model.LogisticRegression(optimizer, intercept_lr=0.0)
        z, n, w = (column.values for column in self._columns)
        cells = np.flatnonzero((n != 0) | (z != 0) | (w != 0)).tolist()
        optimizer.z.update((cell, float(z[cell])) for cell in cells)
        optimizer.n.update((cell, float(n[cell])) for cell in cells)
        self._model._weights = utils.VectorDict(  # noqa: SLF001 - River has no way to set them
            {cell: float(w[cell]) for cell in cells}
        )
