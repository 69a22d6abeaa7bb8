"""Which items that came after a bundle's training join its catalogue, and with which vectors?

The first `MAX_JOINED` codes of which the attributes say something, in the order of the codes: what
joins, and where it stands, follows from the vocabulary and the catalogue as they are, and not from
how a process came to know them. So a list can be computed again from the versions that it names.

Shape letters: V attribute codes, E items that joined, I vector width, X items looked at, C codes,
Z attributes of all X.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAX_JOINED: Final = 10_000
"""Items that join a bundle at most; the next bundle has learned them."""

_FEWEST_LOOKED_AT: Final = 1024
"""Codes that are looked at in one go where room is left: of most, attributes may say nothing."""

_SMALLEST: Final = 1e-12


class NewItems:
    """The items that joined one bundle.

    Attributes:
        codes_E: int64, whose they are, ascending.
        vectors_EI: float32, the unit mean of each item's attributes' vectors.
    """

    def __init__(self, attributes_VI: NDArray[np.float32], *, max_joined: int = MAX_JOINED) -> None:
        """Begin with nobody.

        Args:
            attributes_VI: A vector for each attribute code; zeros where nothing was learned.
            max_joined: Items that join at most.
        """
        self._attributes_VI = attributes_VI
        self._max_joined = max_joined
        self._num_seen = 0
        self.codes_E: NDArray[np.int64] = np.empty(0, np.int64)
        self.vectors_EI: NDArray[np.float32] = np.zeros((0, attributes_VI.shape[1]), np.float32)

    def follow(
        self,
        changed: NDArray[np.int64],
        may_join_C: NDArray[np.bool_],
        attributes_of: Callable[[int], tuple[int, ...]],
    ) -> None:
        """Let items join, leave, and be told anew.

        Costs a look at each changed code, and one copy of all vectors, however many join.

        Args:
            changed: Codes whose item, or what is known of it, is another since the last call.
            may_join_C: Whether each code has an item that the bundle lacks.
            attributes_of: A code's attribute codes; only asked of codes that may join.
        """
        self._num_seen = min(self._num_seen, len(may_join_C))
        changed = np.unique(changed[changed < self._num_seen])
        self._put(changed, changed[may_join_C[changed]], attributes_of)
        while self._num_seen < len(may_join_C) and len(self.codes_E) < self._max_joined:
            num = max(self._max_joined - len(self.codes_E), _FEWEST_LOOKED_AT)
            found = self._num_seen + np.flatnonzero(may_join_C[self._num_seen :])[:num]
            self._num_seen = len(may_join_C) if len(found) < num else int(found[-1]) + 1
            self._put(found, found, attributes_of)

    def _put(
        self,
        leaving: NDArray[np.int64],
        joining: NDArray[np.int64],
        attributes_of: Callable[[int], tuple[int, ...]],
    ) -> None:
        """Take some codes out, and those of them in of which there is something to tell."""
        told_XI = self._vectors([attributes_of(code) for code in joining.tolist()])
        is_told = told_XI.any(1)
        stays_E = ~np.isin(self.codes_E, leaving) & (self.codes_E < self._num_seen)
        codes = np.concatenate([self.codes_E[stays_E], joining[is_told]])
        order = np.argsort(codes)
        vectors = np.concatenate([self.vectors_EI[stays_E], told_XI[is_told]])
        kept = order[: self._max_joined]
        if len(order) > len(kept):
            # Looked at again once there is room.
            self._num_seen = int(codes[order[len(kept)]])
        self.codes_E, self.vectors_EI = codes[kept], vectors[kept]

    def _vectors(self, told: list[tuple[int, ...]]) -> NDArray[np.float32]:
        """Unit means, zeros where nothing is told; none depends on the other items."""
        sizes_X = np.array([len(attributes) for attributes in told], np.int64)
        mean_XI = np.zeros((len(told), self._attributes_VI.shape[1]), np.float32)
        is_some = sizes_X > 0
        if is_some.any():
            rows_Z = np.array([code for attributes in told for code in attributes], np.int64)
            begins = (np.cumsum(sizes_X) - sizes_X)[is_some]
            sums = np.add.reduceat(self._attributes_VI[rows_Z], begins, axis=0)
            mean_XI[is_some] = sums / sizes_X[is_some, None].astype(np.float32)
        norm_X1 = np.sqrt((mean_XI * mean_XI).sum(1, keepdims=True))
        unit_XI: NDArray[np.float32] = mean_XI / np.maximum(norm_X1, np.float32(_SMALLEST))
        return unit_XI
