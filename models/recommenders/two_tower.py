"""Which items lie next to the user in a space that both share? Two towers, trained in batches.

Yi et al. 2019 (`models.neural.two_tower` has the formulas): a tower turns the user's recent items
into a vector, another turns each item into one, and the items of the nearest vectors are retrieved.

Where we differ. The chance that an item is in a batch comes from the exact counts of the log that
is learned, which is finished; the paper estimates it from a stream (algorithm 2). An item that is
in a batch several times counts once, with the chance of being there at all; copies of the target
and the user's own recent items are no negatives; the target is there for certain and is not
corrected (as in `models.transformer.loss`). All examples weigh alike: the log has no rewards. Both
towers share one vector an item, of its id and its attributes. The recent items are averaged not
once but several times, with learned weights of recency.

Shape letters: B sequences, N items, I item vector width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import override

from models.graph_inputs import FEEDS
from models.history import History
from models.item_index import ItemIndex
from models.neural.learning import LearningConfig
from models.neural.two_tower import TwoTowerConfig, TwoTowerLearner, TwoTowerNetwork
from models.passes import PassRecommender
from models.recommender import UserSequence

_TRAINING: Final = {"learning_rate": 1e-2, "max_epochs": 5, "patience": 2, "min_batches": 100}


class TwoTowerRecommender(PassRecommender[TwoTowerNetwork]):
    """Unit vectors of users and items."""

    name = "two_tower"
    reads_attributes = True
    reads_moments = True

    def __init__(
        self,
        *,
        seed: int = 1,
        corrects_sampling: bool = True,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the sizes; defaults were chosen on ML-1M's validation actions.

        Args:
            seed: of first weights, hidden items and order.
            corrects_sampling: whether a batch's items are corrected for how often they are
                negatives; without, popular items are ranked too low.
            network: fields of `TwoTowerConfig` that differ from the defaults.
            training: fields of `LearningConfig` that differ from this model's defaults.
        """
        self._corrects_sampling = corrects_sampling
        self._sizes = TwoTowerConfig(**(network or {}))
        self._training = LearningConfig(**{**_TRAINING, **(training or {})})
        super().__init__(
            self._sizes, self._training, seed=seed, others={"corrects_sampling": corrects_sampling}
        )

    @override
    @torch.inference_mode()
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        scores_BN: npt.NDArray[np.float32] = (
            self.user_vectors(sequences) @ self._network.item_vectors().numpy().T
        )
        return scores_BN

    @torch.inference_mode()
    def user_vectors(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return what to ask `index` with, `[B, I]`: `scores` are the products of both."""
        feed = FEEDS[self.name](sequences, self.bundle_settings(), len(self.item_ids))
        vector_BI: npt.NDArray[np.float32] = self._network.user_vectors(
            torch.from_numpy(feed["item_BK"]),
            torch.from_numpy(feed["user_B"]),
            self._network.item_vectors(),
            torch.from_numpy(feed["context_BC"]) if "context_BC" in feed else None,
        ).numpy()
        return vector_BI

    @override
    def graph(self) -> bytes:
        return self._network.graph()

    @torch.inference_mode()
    def index(self) -> ItemIndex:
        """Return an index of the item vectors, by the codes of `item_ids`."""
        return ItemIndex(self._network.item_vectors().numpy())

    @override
    def _build(self, num_items: int) -> TwoTowerNetwork:
        return TwoTowerNetwork(
            self._sizes, num_items, side=self.side, attributes_NA=self._attributes_NA
        )

    @override
    def _learner(self, history: History) -> TwoTowerLearner | None:
        learner = TwoTowerLearner(
            self._network,
            history,
            self._training,
            self._seed,
            corrects_sampling=self._corrects_sampling,
        )
        return learner if len(learner) else None
