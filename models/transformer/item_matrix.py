"""How do the vectors move that a batch touches a few of? Lazy Adam, a row at a time.

Rows that a batch does not touch are left exactly as they are: a step costs the same in a large
catalogue, and an item that nobody mentions keeps its vector.

Shape letters: N items, I item vector width, U rows that a batch touches. Row 0 of the matrix stands
for "no item or unknown", row code + 1 for an item.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy.typing as npt
import torch
from torch import Tensor

from models.transformer.adam import BETA_1, BETA_2, EPSILON


class ItemMatrix:
    """Item vectors with lazy Adam moments for each row.

    Attributes:
        vectors: raw vectors `[N + 1, I]`; only their direction matters to the network.
        first: first moments, same shape.
        second: second moments, same shape.
        steps: how many updates each row has had, `[N + 1]`.
    """

    ARRAYS: ClassVar = ("vectors", "first", "second", "steps")

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.first = torch.zeros_like(vectors)
        self.second = torch.zeros_like(vectors)
        self.steps = torch.zeros(len(vectors))

    def update(self, rows_U: Tensor, gradient_UI: Tensor, learning_rate: float) -> None:
        """Move the given rows, without duplicates, against their gradient."""
        steps_U = self.steps[rows_U] + 1
        first_UI = self.first[rows_U].lerp_(gradient_UI, 1 - BETA_1)
        second_UI = (
            self.second[rows_U].mul_(BETA_2).addcmul_(gradient_UI, gradient_UI, value=1 - BETA_2)
        )
        first_correction_U1 = (1 - BETA_1**steps_U)[:, None]
        second_correction_U1 = (1 - BETA_2**steps_U)[:, None]
        spread_UI = (second_UI / second_correction_U1).sqrt_().add_(EPSILON)
        moved_UI = self.vectors[rows_U] - learning_rate * (
            first_UI / first_correction_U1 / spread_UI
        )
        self.vectors[rows_U] = self._bounded(moved_UI)
        self.first[rows_U] = first_UI
        self.second[rows_U] = second_UI
        self.steps[rows_U] = steps_U

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return the matrix that these arrays are copies of; see `ARRAYS`.

        Raises:
            KeyError: one is missing.
        """
        vectors, *moments = (torch.from_numpy(arrays[name].copy()) for name in cls.ARRAYS)
        matrix = cls(vectors)
        matrix.first, matrix.second, matrix.steps = moments
        return matrix

    def _bounded(self, moved_UI: Tensor) -> Tensor:
        """Return vectors that have moved; of subclasses, whatever lengths they may have."""
        # The network sees directions only: unit length keeps steps comparable among the rows.
        return torch.nn.functional.normalize(moved_UI, dim=-1)
