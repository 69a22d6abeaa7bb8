"""How long will a shown item be watched? YouTube's weighted logistic regression.

Covington, Adams & Sargin, "Deep Neural Networks for YouTube Recommendations", 2016, section 4.2: a
logistic regression on "was it clicked", in whose loss an impression that was clicked weighs its
watch time T and one that was not weighs 1. With N impressions of which k are clicked, the odds that
it learns are the sum of T over (N - k). That is E[T] / (1 - P), where P is the chance of a click:
little more than the expected watch time E[T] of an impression where clicks are rare. So exp(logit),
the odds, is served as the expected watch time.

The logit is that of the deep part of `models.rankers.wide_deep`, embeddings and rectified linear
layers as in the paper. Where we differ: layers are small, and bins stand for continuous inputs.
Every other slate is learned without positions, so that what is served is a watch time, too, and not
an order alone.

A slate in which something was clicked whose watch time nobody knows teaches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from typing_extensions import override

from models.online.ftrl import MAX_LOGIT, sigmoid
from models.rankers.wide_deep import WideDeepConfig
from models.rankers.wide_deep_ranker import WideDeepRanker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.rankers.slate_ranker import Predicts


class WatchTimeRanker(WideDeepRanker):
    """Predicts watch times, in the unit in which the log gives them."""

    predicts: ClassVar[Predicts] = "watch_time"
    defaults: ClassVar[WideDeepConfig] = WideDeepConfig(is_wide=False, hide_every=2)

    @override
    def predicted(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Of each item as shown; 0 and more."""
        odds: NDArray[np.float64]
        odds = np.exp(np.minimum(self._network.logits(relevance, examination), MAX_LOGIT))
        return odds

    @override
    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        watch_times: NDArray[np.float64] | None = None,
    ) -> None:
        """One step; none where a clicked item's watch time is unknown.

        Raises:
            ValueError: A watch time is below 0.
        """
        if watch_times is None or np.isnan(watch_times[labels]).any():
            return
        if (watch_times[labels] < 0).any():
            raise ValueError(f"found watch time {watch_times[labels].min()}, expected 0 or more")
        weights = np.where(labels, watch_times, 1.0)
        self._network.learn(
            relevance, examination, lambda logits: weights * (sigmoid(logits) - labels)
        )
