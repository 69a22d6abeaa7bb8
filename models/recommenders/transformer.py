"""The transformer of `models.transformer`, trained offline on whole histories.

Sizes are those of the papers' comparisons on ML-1M: 200 tokens, width 64, two blocks.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from typing_extensions import override

from models.transformer.network import Network, NetworkConfig
from models.transformer.sequence_recommender import SequenceRecommender
from models.transformer.whole_training import WholeTrainingConfig

_NETWORK = NetworkConfig(length=200, dropout=0.25, item_dropout=0.1, user_dropout=1.0)


class TransformerRecommender(SequenceRecommender):
    """Causal attention over the newest actions."""

    name = "transformer"

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
            network: fields of `NetworkConfig` that differ from the defaults.
            training: fields of `WholeTrainingConfig` that differ from its defaults.
        """
        self._sizes = NetworkConfig(**{**asdict(_NETWORK), **(network or {})})
        super().__init__(self._sizes, WholeTrainingConfig(**(training or {})), seed=seed)

    @override
    def _encoder(self) -> Network:
        return Network(self._sizes, side=self.side)
