"""What do items' attributes say in a state that is refreshed again and again?

    vector of an item = direction of (own vector + mean of its attributes' vectors)

as in `models.transformer.sequence_network`. All attributes' vectors are zero at first and stay
shorter than the own ones, which have length 1: what has not been learned says nothing, and whatever
the attributes say, there is an own vector that makes of it any direction asked for. So items keep
their vectors when what is told of them changes.

Shape letters: N items and before them one row for none, A attribute codes of an item, V attribute
codes, I item vector width, U rows that a batch touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from models.side_features import NO_ATTRIBUTES
from models.transformer.item_matrix import ItemMatrix

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LENGTH: Final = 0.8
"""Of an attribute's vector. Half of all directions would be out of reach beside one of length 1."""

_SAYS_SOMETHING: Final = 0.1
"""Shorter means are no direction yet that could stand for an item."""


class Described(NamedTuple):
    """What the catalogue tells of the items.

    Attributes:
        codes_NA: attribute codes of each, 0 behind the last, without the row for none.
        num_codes: the largest that there can be; tables of another size mean other words.
    """

    codes_NA: npt.NDArray[np.int32] = NO_ATTRIBUTES
    num_codes: int = 0


NOT_DESCRIBED: Final = Described()
"""Of a catalogue that tells nothing."""


class AttributeMatrix(ItemMatrix):
    """Vectors of attribute codes `[V + 1, I]`, row 0 unused; a row moves as an item's."""

    @override
    def _bounded(self, moved_UI: Tensor) -> Tensor:
        return torch.renorm(moved_UI, 2, 0, MAX_LENGTH)


class ItemAttributes:
    """The attributes of a state's items.

    Attributes:
        matrix: their vectors.
        codes_NA: of each row of the item matrix; int64.
    """

    def __init__(self, matrix: AttributeMatrix, codes_NA: Tensor) -> None:
        self.matrix = matrix
        self.codes_NA = codes_NA

    @classmethod
    def of(cls, described: Described, width: int, before: ItemAttributes | None) -> ItemAttributes:
        """Return what is told now, in the vectors learned before where the codes are the same."""
        codes_NA = torch.from_numpy(np.pad(described.codes_NA.astype(np.int64), ((1, 0), (0, 0))))
        if before is not None and before.num_codes == described.num_codes:
            return cls(before.matrix, codes_NA)
        return cls(AttributeMatrix(torch.zeros(1 + described.num_codes, width)), codes_NA)

    @property
    def num_codes(self) -> int:
        """The largest code that there can be."""
        return len(self.matrix.vectors) - 1

    def means(self) -> Tensor:
        """Return what the attributes say of each item, `[N, I]`, zero where nothing."""
        return _means(self.codes_NA, self.matrix.vectors)

    def directions(self, vector_NI: Tensor) -> Tensor:
        """Return the vectors, and for those of which attributes say something what they say."""
        mean_NI = self.means()
        return torch.where(says_something(mean_NI)[:, None], mean_NI, vector_NI)

    def own_vectors(self, unit_NI: Tensor) -> Tensor:
        """Return the own vectors with which items have these vectors; all are of length 1."""
        mean_NI = self.means()
        along_N = torch.linalg.vecdot(unit_NI, mean_NI)
        rest_N = 1 - torch.linalg.vecdot(mean_NI, mean_NI)
        length_N = along_N + (along_N**2 + rest_N).sqrt()
        own_NI: Tensor = length_N[:, None] * unit_NI - mean_NI
        return own_NI

    def is_as_before(self, before: ItemAttributes, source_N: npt.NDArray[np.int64]) -> Tensor:
        """Return whether the same is told of each item as before, in the same vectors, `[N]`.

        Args:
            before: this state's attributes until now.
            source_N: the row that each item had, -1 for a new one.
        """
        if before.matrix is not self.matrix:
            return torch.zeros(len(source_N), dtype=torch.bool)
        width = max(before.codes_NA.shape[1], self.codes_NA.shape[1])
        old_NA, new_NA = (
            functional.pad(codes, (0, width - codes.shape[1]))
            for codes in (before.codes_NA, self.codes_NA)
        )
        same_N: Tensor = (old_NA[torch.from_numpy(source_N.clip(0))] == new_NA).all(1)
        return same_N & torch.from_numpy(source_N >= 0)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what a warm start needs."""
        return {
            "codes": self.codes_NA.numpy().astype(np.int32),
            **{name: getattr(self.matrix, name).numpy() for name in ItemMatrix.ARRAYS},
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ItemAttributes:
        """Return what `arrays` were taken from.

        Raises:
            KeyError: one is missing.
        """
        codes_NA = torch.from_numpy(arrays["codes"].astype(np.int64))
        return cls(AttributeMatrix.restore(arrays), codes_NA)


class TouchedAttributes:
    """The vectors of the attributes that a batch's items have, for one step.

    Attributes:
        mean_UI: what they say of each item; part of the gradient's graph if `learns`.
    """

    def __init__(self, attributes: ItemAttributes, rows_U: Tensor, *, learns: bool) -> None:
        """Look the codes of these rows up."""
        self._matrix = attributes.matrix
        codes_UA = attributes.codes_NA[rows_U]
        # Code 0, none, stands first.
        self._codes, place = torch.unique(
            torch.cat([torch.zeros(1, dtype=torch.int64), codes_UA.flatten()]), return_inverse=True
        )
        self._raw_VI = self._matrix.vectors[self._codes].requires_grad_(learns)
        self.mean_UI = _means(place[1:].view_as(codes_UA), self._raw_VI)

    def update(self, learning_rate: float) -> None:
        """Move the vectors against their gradient."""
        if self._raw_VI.grad is not None:
            self._matrix.update(self._codes[1:], self._raw_VI.grad[1:], learning_rate)


def says_something(mean_NI: Tensor) -> Tensor:
    """Return whether attributes can stand for each item alone, `[N]`."""
    told_N: Tensor = torch.linalg.vector_norm(mean_NI.detach(), dim=-1) > _SAYS_SOMETHING
    return told_N


def _means(codes: Tensor, vectors: Tensor) -> Tensor:
    return functional.embedding_bag(codes, vectors, mode="mean", padding_idx=0)
