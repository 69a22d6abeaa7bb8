"""An LSTM with the tokens, heads, loss and item vectors of the transformer.

It is the honest recurrent baseline: whatever the transformer gains, it gains by its body.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from models.transformer.network import Network
from models.transformer.recurrent import RecurrentConfig, RecurrentNetwork
from models.transformer.recurrent_export import recurrent_graph
from models.transformer.sequence_recommender import SequenceRecommender
from models.transformer.whole_training import WholeTrainingConfig

_NETWORK = RecurrentConfig(
    length=200, num_blocks=1, dropout=0.25, item_dropout=0.1, user_dropout=1.0
)
# It converges in fewer passes than attention does.
_TRAINING = {"max_epochs": 10}


class LstmRecommender(SequenceRecommender):
    """A recurrent state of the newest actions."""

    name = "lstm"

    def __init__(
        self,
        *,
        seed: int = 1,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the sizes.

        Args:
            seed: of first weights, masks and order.
            network: fields of `RecurrentConfig` that differ from the defaults.
            training: fields of `WholeTrainingConfig` that differ from the defaults.
        """
        self._sizes = RecurrentConfig(**{**asdict(_NETWORK), **(network or {})})
        limits = WholeTrainingConfig(**{**_TRAINING, **(training or {})})
        super().__init__(self._sizes, limits, seed=seed)

    @override
    @torch.inference_mode()
    def graph(self) -> bytes:
        encoder = self._network.encoder
        weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
        if self._network.hides_users:
            weights["user_embedding.weight"] = np.zeros_like(weights["user_embedding.weight"])
        return recurrent_graph(
            self._sizes,
            weights,
            self._network.item_vectors().numpy(),
            target_action=self._target_action,
            grows=self._has_attributes,
        )

    @override
    def _encoder(self) -> Network:
        return RecurrentNetwork(self._sizes, side=self.side)
