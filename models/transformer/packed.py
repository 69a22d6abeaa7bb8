"""How are many small weights changed in one go? As parts of one vector.

What an optimiser does to each element costs a call a tensor; a network of forty small tensors is
then mostly calls.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class PackedWeights:
    """Weights whose storage is one vector: `vector` changes, and so do they.

    Attributes:
        vector: all elements, one weight after the other; float32.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        """Move the weights' values into one vector; the weights remain the objects they are."""
        self._weights = list(weights)
        self.vector = torch.cat([weight.detach().flatten() for weight in self._weights])
        parts = torch.split(self.vector, [weight.numel() for weight in self._weights])
        for weight, part in zip(self._weights, parts, strict=True):
            weight.data = part.view_as(weight)

    @contextmanager
    def replaced_by(self, vector: Tensor) -> Iterator[None]:
        """Let the weights have other values for a while."""
        kept = self.vector.clone()
        self.vector.copy_(vector)
        try:
            yield
        finally:
            self.vector.copy_(kept)

    def gather_gradient(self, *, max_norm: float) -> None:
        """Make `vector.grad` of the weights' gradients, which are then forgotten.

        A weight without one has a gradient of zero.

        Args:
            max_norm: a longer gradient is scaled down to this length.
        """
        gradient = torch.cat(
            [
                torch.zeros(weight.numel()) if weight.grad is None else weight.grad.flatten()
                for weight in self._weights
            ]
        )
        norm = float(torch.linalg.vector_norm(gradient))
        self.vector.grad = gradient * (max_norm / norm) if norm > max_norm else gradient
        for weight in self._weights:
            weight.grad = None
