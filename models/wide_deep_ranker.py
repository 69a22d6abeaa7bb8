"""How does a wide & deep network rank slates? As the click head does, one slate at a time.

Its loss is that of the choice among a slate's items and none of them (docs/adr/0013), where Cheng
et al. 2016 take each item for itself: a slate here has at most one click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from models.ftrl import click_gradients, slate_probabilities
from models.slate_ranker import RankerRefused
from models.wide_deep import WideDeep, WideDeepConfig

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.slate_ranker import Predicts, SlateShape

_FILE, _LAYOUT = "wide_deep.safetensors", "layout"


class WideDeepRanker:
    """Learns every slate at once."""

    predicts: ClassVar[Predicts] = "clicks"
    defaults: ClassVar[WideDeepConfig] = WideDeepConfig()

    def __init__(self, shape: SlateShape, config: WideDeepConfig | None = None) -> None:
        """Start with nothing learned, by default under `defaults`."""
        config = config or self.defaults
        self._network = WideDeep(shape, config)
        self._layout = repr((self.predicts, shape.offsets.tolist(), shape.num_relevance, config))

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

    def save(self, folder: Path) -> None:
        """One file of plain arrays."""
        save_file(self._network.arrays(), folder / _FILE, {_LAYOUT: self._layout})

    def load(self, folder: Path) -> None:
        """The same; nothing is changed by what is refused."""
        try:
            with safe_open(folder / _FILE, "numpy") as found:
                self._check((found.metadata() or {}).get(_LAYOUT), folder)
                for name, values in self._network.arrays().items():
                    values[...] = found.get_tensor(name)
        except SafetensorError as error:
            raise RankerRefused(
                f"{folder / _FILE}: found {error}, expected the arrays that a ranker had saved; "
                "train anew"
            ) from error
        self._network.refresh()

    def _check(self, found: str | None, folder: Path) -> None:
        if found != self._layout:
            raise RankerRefused(
                f"{folder / _FILE}: found weights of {found}, expected {self._layout}: they were "
                "learned under another feature layout or configuration; train anew"
            )
