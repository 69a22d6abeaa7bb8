"""How do dense weights move? Adam (Kingma & Ba 2015), without what torch's own brings along.

The first step of an optimiser of `torch.optim` imports torch's compiler, 160 MB of resident memory
that training on a processor never uses: about as much as everything else that a fit takes.
"""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor

BETA_1: Final = 0.9
BETA_2: Final = 0.99
EPSILON: Final = 1e-8


class Adam:
    """First and second moments of some weights; those that no gradient reaches stay as they are."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        """Begin with the moments at zero."""
        self._weights = list(weights)
        self._first = [torch.zeros_like(weight) for weight in self._weights]
        self._second = [torch.zeros_like(weight) for weight in self._weights]
        self._num_steps = 0

    def forget_gradients(self) -> None:
        """Let the next backward pass begin anew."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the weights against their gradients, which stay as they are."""
        self._num_steps += 1
        rate = learning_rate / (1 - BETA_1**self._num_steps)
        root_correction = (1 - BETA_2**self._num_steps) ** 0.5
        for weight, first, second in zip(self._weights, self._first, self._second, strict=True):
            if weight.grad is None:
                continue
            first.lerp_(weight.grad, 1 - BETA_1)
            second.mul_(BETA_2).addcmul_(weight.grad, weight.grad, value=1 - BETA_2)
            spread = second.sqrt().div_(root_correction).add_(EPSILON)
            weight.addcdiv_(first, spread, value=-rate)
