"""How do trees and the online head rank together? The mean of their utilities, put right online.

Trees are trained on all that was logged and know nothing since; the head has learned from every
slate up to the last one, of the users who are here now in particular, but adds up what trees
combine. With u of each the mixture's utility is

    u = (1 - s) u_trees + s u_online + b,

and p(click) the choice of one item among all and none (docs/adr/0013). Shrunk leaves keep the trees
from saying how sure it is that something is clicked at all: the offset b, which no order depends
on, is learned online, a step of AdaGrad a slate on the same loss. Until there are trees the head
ranks alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from models.online.ftrl import slate_probabilities
from models.rankers.online_ranker import OnlineRanker
from models.rankers.slate_ranker import RankerRefused
from models.rankers.xgboost_ranker import TREES, XgboostConfig, XgboostRanker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.rankers.slate_ranker import Predicts, SlateShape

_OFFSET = "offset"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendConfig:
    """How they are mixed.

    Attributes:
        online_share: s, of the online head; docs/models.md says how it was chosen.
        learning_rate: Of the offset.
        trees: How they grow.
    """

    online_share: float = 0.3
    learning_rate: float = 0.1
    trees: XgboostConfig = field(default_factory=XgboostConfig)


class _Offset:
    """b, shared by a ranker and the one that is trained from it."""

    def __init__(self, learning_rate: float) -> None:
        self.value = 0.0
        self._learning_rate = learning_rate
        self._squares = 0.0

    def learn(self, probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        num_clicks = int(labels.sum())
        gradient = max(1, num_clicks) * float(probabilities.sum()) - num_clicks
        self._squares += gradient * gradient
        if self._squares > 0:
            self.value -= self._learning_rate * gradient / self._squares**0.5

    def state(self) -> list[float]:
        return [self.value, self._squares]

    def restore(self, state: list[float]) -> None:
        self.value, self._squares = state


class BlendedRanker:
    """Trees, the online head "slate", and an offset."""

    def __init__(
        self,
        config: BlendConfig,
        trees: XgboostRanker,
        online: OnlineRanker,
        offset: _Offset | None = None,
    ) -> None:
        """Mix two rankers; the offset starts at 0 unless it goes on."""
        self._config = config
        self._trees = trees
        self._online = online
        self._offset = offset or _Offset(config.learning_rate)

    @classmethod
    def of(cls, shape: SlateShape, config: BlendConfig) -> Self:
        """Return one that has learned nothing."""
        return cls(config, XgboostRanker(shape, config.trees), OnlineRanker(shape, "slate"))

    @property
    def is_batched(self) -> bool:
        """As both are."""
        return True

    @property
    def predicts(self) -> Predicts:
        """See `SlateRanker`, as all of these."""
        return "clicks"

    def predicted(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
    ) -> NDArray[np.float64]:
        """Among the slate's others."""
        online = self._online.utilities(relevance, examination)
        if not self._trees.is_trained:
            return slate_probabilities(online)
        mixed = self._mixed(self._trees.utilities(relevance, examination), online)
        return slate_probabilities(mixed + self._offset.value)

    def scores(self, relevance: NDArray[np.integer]) -> NDArray[np.float64]:
        """The same mean of what both say without positions."""
        online = self._online.scores(relevance)
        if not self._trees.is_trained:
            return online
        return self._mixed(self._trees.scores(relevance), online)

    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        watch_times: NDArray[np.float64] | None = None,
    ) -> None:
        """One step of offset and head, each on what was said before it; the trees log it."""
        if self._trees.is_trained and len(labels):
            self._offset.learn(self.predicted(relevance, examination), labels)
        self._online.learn(relevance, examination, labels, watch_times)
        self._trees.learn(relevance, examination, labels, watch_times)

    def refresh(self) -> BlendedRanker | None:
        """Train the trees; head and offset go on, shared with what is returned."""
        trees = self._trees.refresh()
        if trees is None:
            return None
        return BlendedRanker(self._config, trees, self._online, self._offset)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of both, and how they are mixed."""
        return {
            "trees": dict(self._trees.settings),
            "online": dict(self._online.settings),
            "online_share": self._config.online_share,
            "learning_rate": self._config.learning_rate,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those of both, and the offset."""
        offset = np.array(self._offset.state())
        return {**self._trees.arrays(), **self._online.arrays(), _OFFSET: offset}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The same."""
        trees = {name: values for name, values in arrays.items() if name == TREES}
        if _OFFSET not in arrays or len(arrays[_OFFSET]) != len(self._offset.state()):
            raise RankerRefused(f"found no {_OFFSET} of two numbers; train anew")
        before = self._online.arrays()
        self._online.restore(arrays)
        try:
            self._trees.restore(trees)
        except RankerRefused:
            self._online.restore(before)
            raise
        self._offset.restore(arrays[_OFFSET].tolist())

    def _mixed(
        self, trees: NDArray[np.float64], online: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        share = self._config.online_share
        return (1 - share) * trees + share * online
