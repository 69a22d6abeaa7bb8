"""How does a network of tokens become a recommender: fitted offline, scored, saved?

The transformer and the LSTM differ in their body alone; everything here is common to both.

Shape letters: B sequences, L tokens, N items, I item vector width, M model width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from typing_extensions import override

from models.bundle import Arrays
from models.encoder_inputs import user_buckets
from models.graph_inputs import token_inputs
from models.history import History
from models.passes import PassRecommender
from models.recommender import UserSequence
from models.side_features import context_rows
from models.transformer.network import Network
from models.transformer.sequence_network import SequenceNetwork
from models.transformer.whole_training import WholeLearner, WholeTrainingConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_BATCH_TOKENS: Final = 8192
_ACTION: Final = "target_action"


class SequenceRecommender(PassRecommender[SequenceNetwork]):
    """A network over the newest actions, and unit item vectors."""

    reads_attributes = True
    reads_moments = True

    def __init__(
        self, sizes: DataclassInstance, training: WholeTrainingConfig, *, seed: int
    ) -> None:
        """Set how it is trained; subclasses say what is trained."""
        super().__init__(sizes, training, seed=seed)
        self._training = training
        self._target_action = 1

    @abstractmethod
    def _encoder(self) -> Network:
        """Return an untrained encoder; its weights come from torch's global generator."""

    @override
    def _build(self, num_items: int) -> SequenceNetwork:
        return SequenceNetwork(
            self._encoder(), num_items, side=self.side, attributes_NA=self._attributes_NA
        )

    @override
    def _learner(self, history: History) -> WholeLearner | None:
        self._target_action = _commonest_action(history)
        if not len(history.items):
            return None
        return WholeLearner(self._network, history, self._training, self._seed)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        scores_BN = np.empty((len(sequences), len(self.item_ids)), np.float32)
        limit = self._network.encoder.config.length
        # Sequences of similar length share a batch, so that little padding is computed.
        lengths = [min(len(sequence) + 1, limit) for sequence in sequences]
        order = np.argsort(lengths, kind="stable")
        size = max(_BATCH_TOKENS // max(lengths, default=1), 1)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            scores_BN[chosen] = self._scores_of([sequences[index] for index in chosen])
        return scores_BN

    @override
    def weights(self) -> Arrays:
        return {**super().weights(), _ACTION: np.array([self._target_action])}

    @override
    def restore(self, weights: Arrays) -> None:
        super().restore({name: value for name, value in weights.items() if name != _ACTION})
        self._target_action = int(weights[_ACTION][0])

    @torch.inference_mode()
    def _scores_of(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        inputs = token_inputs(
            sequences,
            num_items=len(self.item_ids),
            length=self._network.encoder.config.length,
        )
        network, items_NI = self._network.encoder, self._network.item_vectors()
        num_users = len(sequences)
        hidden_BLM = network.encode(
            functional.embedding(torch.from_numpy(inputs.item_BL), items_NI),
            torch.from_numpy(inputs.action_BL),
            torch.from_numpy(inputs.gap_BL),
            torch.from_numpy(inputs.time_BL) if inputs.time_BL.any() else None,
            torch.from_numpy(user_buckets(inputs.user_B, network.config.num_user_buckets)),
            hidden_user_B=torch.full((num_users,), self._network.hides_users),
        )
        last_BM = hidden_BLM[torch.arange(num_users), torch.from_numpy(inputs.length_B - 1)]
        query_BI, _ = network.queries(
            last_BM,
            torch.from_numpy(inputs.request_gap_B),
            torch.full((num_users,), self._target_action),
            torch.from_numpy(context_rows([one.contexts for one in sequences], self.side))
            if self.side.context
            else None,
        )
        scores_BN: npt.NDArray[np.float32] = (query_BI @ items_NI[1:].T).numpy()
        return scores_BN


def _commonest_action(history: History) -> int:
    """Return the action code that most rows with an item have: scores are about the next such."""
    counts = np.bincount(history.actions[history.items >= 0], minlength=2)
    return int(counts.argmax()) if counts.any() else 1
