"""What is fitted to whole histories? A user encoder, and the vectors of the items.

With attributes an item's vector is the direction of its own and the mean of its attributes', as in
`models.neural.two_tower`: own vectors are hidden at random in training, and an item that no row is
about has none.

Shape letters: N items, A attribute codes of an item, I item vector width.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.neural.side_inputs import AttributeVectors
from models.side_features import NO_ATTRIBUTES, NO_SIDE, SideFeatures
from models.transformer.full_softmax import MAX_QUERY_LENGTH
from models.transformer.network import Network


class SequenceNetwork(nn.Module):
    """A user encoder together with the item vectors that it reads and scores.

    Attributes:
        encoder: the network.
        items: the items' own vectors `[N + 1, I]`, unit length, zero of items that only their
            attributes tell something of; row 0 stands for "no item or unknown".
        attributes: of the same rows; None where nothing is told. No code's vector is longer than
            `models.transformer.item_attributes.MAX_LENGTH`.
    """

    def __init__(
        self,
        encoder: Network,
        num_items: int,
        *,
        side: SideFeatures = NO_SIDE,
        attributes_NA: npt.NDArray[np.int32] = NO_ATTRIBUTES,
    ) -> None:
        """Begin at random.

        Args:
            encoder: an untrained network.
            num_items: of the catalogue.
            side: how many attribute codes there are.
            attributes_NA: attribute codes of the items; none where A is 0.
        """
        super().__init__()
        if encoder.config.temperature < 1 / MAX_QUERY_LENGTH:
            raise ValueError(
                f"temperature is {encoder.config.temperature}; below {1 / MAX_QUERY_LENGTH} the "
                "softmax could overflow"
            )
        self.encoder = encoder
        vectors = torch.randn(num_items + 1, encoder.config.item_width)
        self.items = nn.Parameter(functional.normalize(vectors, dim=-1))
        # Nothing competes with the vectors here, so they are trusted from the start.
        nn.init.zeros_(encoder.trust_head.bias)
        self.attributes = None
        if attributes_NA.shape[1]:
            width = encoder.config.item_width
            self.attributes = AttributeVectors(
                np.pad(attributes_NA, ((1, 0), (0, 0))),
                side.num_attribute_codes,
                width,
                spread=width**-0.5,
            )

    def item_vectors(self, hidden_N: Tensor | None = None) -> Tensor:
        """Return what the encoder reads and scores, `[N + 1, I]`, of unit length.

        Args:
            hidden_N: rows whose own vectors are not read; bool. None for none.
        """
        if self.attributes is None:
            return functional.normalize(self.items, dim=-1)
        return functional.normalize(self.attributes.added_to(self.items, hidden_N), dim=-1)

    @property
    def hides_users(self) -> bool:
        """Whether users are never an input, neither here nor in serving."""
        return self.encoder.config.user_dropout >= 1
