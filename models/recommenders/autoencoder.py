"""Which items would complete the bag of a user's items? The denoising autoencoder Mult-DAE.

Liang et al. 2018 (`models.neural.bag_autoencoder` has the formulas). Of the models of Netflix's
case study (Steck et al. 2021, "Deep Learning for Recommender Systems: A Netflix Case Study") it is
the kind "bag of items": it knows what a user has, not in which order.

Where we differ: learned from whole bags as in the paper, it is asked about a bag in which an item
weighs the less the older it is, since what comes next is asked for; without a half-life it is the
paper's.

Shape letters: B sequences, N items.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import override

from models.bags import user_bags
from models.graph_inputs import read_bags
from models.history import History
from models.neural.bag_autoencoder import (
    BagAutoencoder,
    BagAutoencoderConfig,
    BagLearner,
)
from models.neural.learning import LearningConfig
from models.passes import PassRecommender
from models.recommender import UserSequence

_TRAINING: Final = {"max_epochs": 25, "patience": 5, "batch_size": 256, "averaging": 0.99}


class AutoencoderRecommender(PassRecommender[BagAutoencoder]):
    """A narrow hidden layer that bags have to pass."""

    name = "autoencoder"

    def __init__(
        self,
        *,
        seed: int = 1,
        half_life: float | None = 5.0,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the sizes; defaults were chosen on ML-1M's validation actions.

        Args:
            seed: of first weights, dropped items and order.
            half_life: items after which an item of a sequence counts half; None for the paper's
                bag, in which all count alike.
            network: fields of `BagAutoencoderConfig` that differ from the defaults.
            training: fields of `LearningConfig` that differ from this model's defaults.
        """
        self._half_life = half_life
        self._sizes = BagAutoencoderConfig(**(network or {}))
        self._training = LearningConfig(**{**_TRAINING, **(training or {})})
        others = {"half_life": half_life}
        super().__init__(self._sizes, self._training, seed=seed, others=others)

    @override
    @torch.inference_mode()
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        bags, weight_Z = read_bags(sequences, self._half_life)
        scores_BN: npt.NDArray[np.float32] = self._network(bags, weight_Z).numpy()
        return scores_BN

    @override
    def graph(self) -> bytes:
        return self._network.graph()

    @override
    def _build(self, num_items: int) -> BagAutoencoder:
        return BagAutoencoder(self._sizes, num_items)

    @override
    def _learner(self, history: History) -> BagLearner | None:
        bags = user_bags(history)
        if not len(bags):
            return None
        return BagLearner(self._network, bags, self._training, self._seed)
