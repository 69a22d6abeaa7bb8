"""Which item vectors does a batch touch, and how do they move with it?

Only these rows take part in the graph and in the update.

Shape letters: U rows that a batch touches, I item vector width.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.transformer.item_attributes import TouchedAttributes, says_something
from models.transformer.state import TrainingState


class TouchedItems:
    """The vectors of some rows of a state, for one step.

    Attributes:
        vector_UI: of unit length.
    """

    def __init__(
        self, state: TrainingState, rows_U: Tensor, *, learns_with: np.random.Generator | None
    ) -> None:
        """Look the rows up.

        Args:
            state: whose.
            rows_U: of the item matrix, ascending, without duplicates; int64.
            learns_with: draws the items whose own vectors are hidden; None where nothing moves.
        """
        learns = learns_with is not None
        self._state = state
        self._rows_U = rows_U
        self._raw_UI = state.items.vectors[rows_U].requires_grad_(learns)
        self._attributes: TouchedAttributes | None = None
        own_UI = self._raw_UI
        if state.attributes is not None:
            self._attributes = TouchedAttributes(state.attributes, rows_U, learns=learns)
            mean_UI = self._attributes.mean_UI
            if learns_with is not None:
                share = state.network.config.id_dropout
                drawn_U = torch.from_numpy(learns_with.random(len(rows_U)) < share)
                own_UI = own_UI * ~(drawn_U & says_something(mean_UI))[:, None]
            own_UI = own_UI + mean_UI
        self.vector_UI = functional.normalize(own_UI, dim=-1)

    def update(self, learning_rate: float, attribute_learning_rate: float) -> None:
        """Move own and attributes' vectors against their gradients, where there are any."""
        if self._raw_UI.grad is not None:
            self._state.items.update(self._rows_U, self._raw_UI.grad, learning_rate)
        if self._attributes is not None:
            self._attributes.update(attribute_learning_rate)
