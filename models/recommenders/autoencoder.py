"""Which items would complete the bag of a user's items? The denoising autoencoder Mult-DAE.

Liang et al. 2018 (`models.neural.bag_autoencoder` has the formulas). Of the models of Netflix's
case study (Steck et al. 2021, "Deep Learning for Recommender Systems: A Netflix Case Study") it is
the kind "bag of items": it knows what a user has, not in which order. As there, it reads the time
as a number and the device, where the log tells them: then it learns what came at a moment.

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
from models.graph_inputs import moment_clocks, read_bags
from models.history import History
from models.neural.bag_autoencoder import (
    BagAutoencoder,
    BagAutoencoderConfig,
    BagLearner,
    MomentLearner,
    Moments,
)
from models.neural.learning import LearningConfig
from models.passes import PassRecommender
from models.recommender import UserSequence
from models.side_features import context_rows

_TRAINING: Final = {"max_epochs": 25, "patience": 5, "batch_size": 256, "averaging": 0.99}


class AutoencoderRecommender(PassRecommender[BagAutoencoder]):
    """A narrow hidden layer that bags have to pass."""

    name = "autoencoder"
    reads_moments = True

    def __init__(
        self,
        *,
        seed: int = 1,
        half_life: float | None = 5.0,
        reads_moments: bool = True,
        num_user_examples: int = 8,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the sizes; defaults were chosen on ML-1M's validation actions.

        Args:
            seed: of first weights, dropped items and order.
            half_life: items after which an item of a sequence counts half; None for the paper's
                bag, in which all count alike.
            reads_moments: whether what the log tells of moments is read: of whole bags without.
            num_user_examples: moments of each user in a pass, at most; no more than users have in
                the mean.
            network: fields of `BagAutoencoderConfig` that differ from the defaults.
            training: fields of `LearningConfig` that differ from this model's defaults.
        """
        self._half_life = half_life
        self._num_user_examples = num_user_examples
        self.reads_moments = reads_moments
        self._sizes = BagAutoencoderConfig(**(network or {}))
        self._training = LearningConfig(**{**_TRAINING, **(training or {})})
        others = {
            "half_life": half_life,
            "reads_moments": reads_moments,
            "num_user_examples": num_user_examples,
        }
        super().__init__(self._sizes, self._training, seed=seed, others=others)

    @override
    @torch.inference_mode()
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        bags, weight_Z = read_bags(sequences, self._half_life)
        moments = Moments(
            context_rows(
                [sequence.contexts if self.side.context else () for sequence in sequences],
                self.side,
            ),
            moment_clocks(sequences, self.side),
            np.zeros(len(sequences), np.float32),
        )
        scores_BN: npt.NDArray[np.float32] = self._network(bags, weight_Z, moments).numpy()
        return scores_BN

    @override
    def graph(self) -> bytes:
        return self._network.graph()

    @override
    def _build(self, num_items: int) -> BagAutoencoder:
        return BagAutoencoder(self._sizes, num_items, side=self.side)

    @override
    def _learner(self, history: History) -> BagLearner | MomentLearner | None:
        if not (history.items >= 0).any():
            return None
        if not self.side.tells_moments:
            return BagLearner(self._network, user_bags(history), self._training, self._seed)
        return MomentLearner(
            self._network,
            history,
            self._training,
            self._seed,
            half_life=self._half_life,
            num_user_examples=self._num_user_examples,
        )
