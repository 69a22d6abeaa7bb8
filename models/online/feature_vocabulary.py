"""Which weight belongs to which named feature, exactly and within a bound?

No hashing: two features never share a weight. When the vocabulary is full, the feature that was
used least recently gives its cell to the new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class FeatureVocabulary:
    """Cells 1, 2 … of features by name; cell 0 is left for an intercept.

    >>> vocabulary = FeatureVocabulary(2)
    >>> [vocabulary.use(name) for name in ("a", "b", "a", "c")]
    [1, 2, 1, 2]
    >>> vocabulary.find("b"), vocabulary.take_reused()
    (None, [2])
    """

    def __init__(self, max_features: int) -> None:
        """Begins empty.

        Args:
            max_features: Known at a time, at least 1.

        Raises:
            ValueError: None would be known.
        """
        if max_features < 1:
            raise ValueError(f"found max_features {max_features}, expected at least 1")
        self.max_features = max_features
        # In the order of last use: a used name is put in anew, behind all others.
        self._cells: dict[Hashable, int] = {}
        self._reused: list[int] = []

    def __len__(self) -> int:
        return len(self._cells)

    def find(self, name: Hashable) -> int | None:
        """The feature's cell, if it has one; no use of it."""
        return self._cells.get(name)

    def use(self, name: Hashable) -> int:
        """The feature's cell; it gets one if it has none."""
        cells = self._cells
        cell = cells.pop(name, None)
        if cell is None:
            cell = self._free()
        cells[name] = cell
        return cell

    def take_reused(self) -> list[int]:
        """Cells that changed hands since the last call: what was learned in them must go."""
        reused, self._reused = self._reused, []
        return reused

    def _free(self) -> int:
        if len(self._cells) < self.max_features:
            return len(self._cells) + 1
        cell = self._cells.pop(next(iter(self._cells)))
        self._reused.append(cell)
        return cell
