"""What would these watches lead to today? YouTube's candidate generation.

Covington et al. 2016, section 3 (`models.neural.watch_network` has the formulas): the average of
the watch history, the age of the example as an input which is 0 when asked, the next watch as the
target, as many examples of each user, a softmax over all items.

Where we differ: a log has no searches or watch times, so that items with their attributes, the age
and the context of the moment are all that is read; the age, a share of the log's span, is joined by
its square root, as the paper does with its ranking features (section 4.1); ten watches are averaged
and not fifty, since an average forgets their order and the newest say most on ML-1M; targets are
items that the user has not acted upon before; up to `max_full` items the softmax is not sampled,
beyond it is, with the correction of `models.transformer.loss` for the paper's importance weights.

Shape letters: B sequences, N items.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import override

from models.graph_inputs import FEEDS
from models.history import History
from models.neural.learning import LearningConfig
from models.neural.watch_network import WatchConfig, WatchLearner, WatchNetwork
from models.passes import PassRecommender
from models.recommender import UserSequence

_TRAINING: Final = {"learning_rate": 1e-2, "max_epochs": 10, "patience": 3, "batch_size": 512}


class WatchRecommender(PassRecommender[WatchNetwork]):
    """The average of what was watched, up a tower."""

    name = "youtube"
    reads_attributes = True
    reads_moments = True

    def __init__(
        self,
        *,
        seed: int = 1,
        num_user_examples: int = 32,
        num_negatives: int = 2048,
        max_full: int = 8192,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the sizes; defaults were chosen on ML-1M's validation actions.

        Args:
            seed: of first weights, hidden items, examples and order.
            num_user_examples: examples of each user in a pass, at most; no more than users have in
                the mean.
            num_negatives: items that stand for all in a step on a larger catalogue.
            max_full: the largest catalogue that is not sampled.
            network: fields of `WatchConfig` that differ from the defaults.
            training: fields of `LearningConfig` that differ from this model's defaults.
        """
        self._num_user_examples = num_user_examples
        self._num_negatives = num_negatives
        self._max_full = max_full
        self._sizes = WatchConfig(**(network or {}))
        self._training = LearningConfig(**{**_TRAINING, **(training or {})})
        super().__init__(
            self._sizes,
            self._training,
            seed=seed,
            others={
                "num_user_examples": num_user_examples,
                "num_negatives": num_negatives,
                "max_full": max_full,
            },
        )

    @override
    @torch.inference_mode()
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        feed = FEEDS[self.name](sequences, self.bundle_settings(), len(self.item_ids))
        vector_BI = self._network(
            torch.from_numpy(feed["item_BK"]),
            torch.zeros(len(sequences)),
            torch.from_numpy(feed["context_BC"]) if "context_BC" in feed else None,
        )
        scores_BN: npt.NDArray[np.float32] = (vector_BI @ self._network.item_vectors().T).numpy()
        return scores_BN

    @override
    def graph(self) -> bytes:
        return self._network.graph()

    @override
    def _build(self, num_items: int) -> WatchNetwork:
        return WatchNetwork(
            self._sizes, num_items, side=self.side, attributes_NA=self._attributes_NA
        )

    @override
    def _learner(self, history: History) -> WatchLearner | None:
        learner = WatchLearner(
            self._network,
            history,
            self._training,
            self._seed,
            num_user_examples=self._num_user_examples,
            num_negatives=self._num_negatives,
            max_full=self._max_full,
        )
        return learner if len(learner) else None
