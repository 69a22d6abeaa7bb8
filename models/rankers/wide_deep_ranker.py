"""How does a wide & deep network rank slates? As the click head does, one slate at a time.

Its loss is that of the choice among a slate's items and none of them (docs/adr/0013), where Cheng
et al. 2016 take each item for itself: a slate here has at most one click.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from models.online.ftrl import click_gradients, slate_probabilities
from models.rankers.slate_ranker import copied_into
from models.rankers.wide_deep import WideDeep, WideDeepConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from models.rankers.slate_ranker import Predicts, SlateShape


class WideDeepRanker:
    """Learns every slate at once."""

    predicts: ClassVar[Predicts] = "clicks"
    is_batched: ClassVar[bool] = False
    """Larger products leave the cache, and their last bits depend on the rows around."""
    defaults: ClassVar[WideDeepConfig] = WideDeepConfig()

    def __init__(self, shape: SlateShape, config: WideDeepConfig | None = None) -> None:
        """Start with nothing learned, by default under `defaults`."""
        config = config or self.defaults
        self._network = WideDeep(shape, config)
        # A tuple comes back from JSON as a list.
        self._settings = {**asdict(config), "layers": list(config.layers)}

    def predicted(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Among the slate's others."""
        return slate_probabilities(self._network.logits(relevance, examination))

    def scores(self, relevance: NDArray[np.integer]) -> NDArray[np.float64]:
        """The logits, without what only positions tell."""
        return self._network.logits(relevance)

    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        watch_times: NDArray[np.float64] | None = None,  # noqa: ARG002 - of the contract
    ) -> None:
        """One step."""
        self._network.learn(
            relevance, examination, lambda logits: click_gradients(logits, labels, "slate")
        )

    def refresh(self) -> None:
        """Nothing waits to be learned."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Sizes and rates."""
        return self._settings

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All weights, and the sums by which steps become shorter."""
        return dict(self._network.arrays())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The same."""
        copied_into(self._network.arrays(), arrays, of=type(self).__name__)
        self._network.refresh()
