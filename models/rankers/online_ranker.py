"""How is the click head, with any of its engines, a slate ranker?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import SnapshotRefused
from models.online.click_head import ClickHead, ClickHeadConfig
from models.online.tables import TableSet
from models.rankers.slate_ranker import RankerRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.online.click_head import Engine
    from models.rankers.slate_ranker import Predicts, SlateShape

_TABLES = "tables"


class OnlineRanker:
    """Learns every slate at once."""

    def __init__(self, shape: SlateShape, engine: Engine) -> None:
        self._engine = engine
        self._head = ClickHead(ClickHeadConfig(engine=engine), int(shape.offsets[-1]))
        self._tables = TableSet([self._head.table])

    @property
    def is_batched(self) -> bool:
        """Each row's weights are added alone."""
        return True

    @property
    def predicts(self) -> Predicts:
        """See `SlateRanker`, as all of these."""
        return "clicks" if self._head.gives_probabilities else "order"

    def predicted(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Among the slate's others."""
        return self._head.slate_probabilities(relevance, examination)

    def utilities(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Of which `predicted` is a function, float64[N]."""
        return self._head.logits(relevance, examination)

    def scores(self, relevance: NDArray[np.integer]) -> NDArray[np.float64]:
        """Relevance alone."""
        return self._head.logits(relevance)

    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        watch_times: NDArray[np.float64] | None = None,  # noqa: ARG002 - of the contract
    ) -> None:
        """One step."""
        self._head.learn(relevance, examination, labels)

    def refresh(self) -> None:
        """Nothing waits to be learned."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The engine."""
        return {"engine": self._engine}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The tables' snapshot, as bytes."""
        return {_TABLES: np.frombuffer(self._tables.snapshot(), np.uint8)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The same."""
        try:
            self._tables.restore(arrays[_TABLES].astype(np.uint8).tobytes())
        except (KeyError, SnapshotRefused) as refusal:
            raise RankerRefused(f"found no tables of a click head: {refusal}") from refusal
        self._head.refresh()
