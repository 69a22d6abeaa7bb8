"""How does one column of learned numbers store, mark and pack its cells?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import SnapshotRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_CAPACITY = 64


class Reader:
    """Takes a body apart in the order in which it was written."""

    __slots__ = ("_body", "_position")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def take(self, size_bytes: int) -> bytes:
        """The next bytes."""
        end = self._position + size_bytes
        if end > len(self._body):
            raise SnapshotRefused(
                f"found {len(self._body)} bytes, expected at least {end}; fetch a fresh base"
            )
        taken = self._body[self._position : end]
        self._position = end
        return taken

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        """The next `count` numbers."""
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype=dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """A column of numbers: `width` cells a row, `fill` where nothing has been learned.

    `dtype` is one of numpy's fixed-size native names (`float64`, `int32`, …). `fill` must not be
    NaN: emptiness is tested by equality of bits.
    """

    name: str
    dtype: str
    width: int = 1
    fill: float = 0


class Column:
    """A table's column; flat cells, `cell = row * width + slot`.

    Read through `cells` (scalars, as Python numbers) or `values` (arrays); write through `put` and
    `put_many`, which remember what the next delta must carry, or call `mark` afterwards.
    """

    __slots__ = ("_changed", "_flat", "_num_rows", "cells", "changed", "loaded", "spec")

    def __init__(self, spec: ColumnSpec) -> None:
        self.spec = spec
        self._num_rows = 0
        self.loaded: NDArray[np.uint32] | None = None
        """The cells that the latest delta set, None after a base: what a cache must renew."""
        self._flat: NDArray[Any] = np.empty(0)
        self._changed: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._allocate(_MIN_CAPACITY)

    def _allocate(self, num_rows: int) -> None:
        flat: NDArray[Any]
        flat = np.full(num_rows * self.spec.width, self.spec.fill, dtype=self.spec.dtype)
        changed: NDArray[np.bool_] = np.zeros(flat.size, dtype=np.bool_)
        if self._num_rows:
            used = self._num_rows * self.spec.width
            flat[:used] = self._flat[:used]
            changed[:used] = self._changed[:used]
        self._flat = flat
        self._changed = changed
        # Scalar access through a memoryview costs a third of numpy's and gives plain numbers.
        self.cells: memoryview[Any] = flat.data
        self.changed: memoryview[Any] = changed.data

    @property
    def values(self) -> NDArray[Any]:
        """The rows in use: shape `[num_rows]`, or `[num_rows, width]` where width > 1."""
        width = self.spec.width
        used = self._flat[: self._num_rows * width]
        return used if width == 1 else used.reshape(self._num_rows, width)

    def put(self, cell: int, value: float) -> None:
        """Sets one cell."""
        self.cells[cell] = value
        self.changed[cell] = True

    def put_many(self, cells: NDArray[np.integer], values: NDArray[Any]) -> None:
        """Sets several cells; a cell that is named twice must get the same value twice."""
        self._flat[cells] = values
        self._changed[cells] = True

    def put_rows(self, rows: int | NDArray[np.integer], values: NDArray[Any]) -> None:
        """Sets whole rows of a width above 1, each named once."""
        self.values[rows] = values
        self._changed.reshape(-1, self.spec.width)[rows] = True

    def mark(self, cells: NDArray[np.integer]) -> None:
        """Says that cells were changed in place, through `values`."""
        self._changed[cells] = True

    def clear_rows(self, rows: NDArray[np.integer]) -> None:
        """Gives whole rows their fill value back."""
        width = self.spec.width
        cells = (rows[:, None] * width + np.arange(width)).ravel()
        self.put_many(cells, np.full(cells.size, self.spec.fill, dtype=self.spec.dtype))

    def grow(self, num_rows: int) -> None:
        """Extends the rows in use; new ones hold the fill value."""
        width = self.spec.width
        if num_rows * width > self._flat.size:
            self._allocate(max(num_rows, 2 * (self._flat.size // width)))
        self._num_rows = max(self._num_rows, num_rows)

    def reset(self, num_rows: int) -> None:
        """Forgets all contents and all changes."""
        self._num_rows = 0
        self._allocate(max(num_rows, _MIN_CAPACITY))
        self._num_rows = num_rows

    def forget_changes(self) -> None:
        """Declares the present contents published."""
        self._changed[:] = False

    def changed_cells(self) -> NDArray[np.uint32]:
        """The cells written since `forget_changes`, ascending."""
        used = self._num_rows * self.spec.width
        return np.flatnonzero(self._changed[:used]).astype(np.uint32)

    def occupied_cells(self) -> NDArray[np.uint32]:
        """The cells whose bits differ from the fill value (so -0.0 differs from 0.0)."""
        used = self._flat[: self._num_rows * self.spec.width]
        fill = np.array([self.spec.fill], dtype=self.spec.dtype)
        bits = np.dtype(f"u{used.itemsize}")
        return np.flatnonzero(used.view(bits) != fill.view(bits)).astype(np.uint32)

    def pack(self, cells: NDArray[np.uint32]) -> list[bytes]:
        """The cells' numbers and values as bytes."""
        return [cells.tobytes(), self._flat[cells].tobytes()]

    def unpack(self, body: Reader, count: int, num_rows: int) -> tuple[NDArray[Any], Any]:
        """Reads what `pack` wrote, changing nothing."""
        cells = body.array("uint32", count)
        if count and int(cells.max()) >= num_rows * self.spec.width:
            raise SnapshotRefused(
                f"column {self.spec.name!r}: found cell {int(cells.max())}, expected one below "
                f"{num_rows * self.spec.width}; fetch a fresh base"
            )
        return cells, body.array(self.spec.dtype, count)

    def load(self, cells: NDArray[Any], values: NDArray[Any], *, all_of_it: bool) -> None:
        """Sets cells without marking them: what a replica does."""
        self._flat[cells] = values
        self.loaded = None if all_of_it else cells


class TextColumn:
    """A table's column of strings, one a row; empty where unset."""

    __slots__ = ("_changed", "name", "texts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.texts: list[str] = []
        self._changed: set[int] = set()

    def put(self, row: int, text: str) -> None:
        """Sets one row."""
        self.texts[row] = text
        self._changed.add(row)

    def clear_rows(self, rows: NDArray[np.integer]) -> None:
        """Empties rows."""
        for row in rows.tolist():
            self.put(row, "")

    def grow(self, num_rows: int) -> None:
        """Extends the rows in use by empty ones."""
        self.texts.extend([""] * (num_rows - len(self.texts)))

    def reset(self, num_rows: int) -> None:
        """Forgets all contents and all changes."""
        self.texts = [""] * num_rows
        self._changed.clear()

    def forget_changes(self) -> None:
        """Declares the present contents published."""
        self._changed.clear()

    def changed_cells(self) -> NDArray[np.uint32]:
        """The rows written since `forget_changes`, ascending."""
        return np.array(sorted(self._changed), dtype=np.uint32)

    def occupied_cells(self) -> NDArray[np.uint32]:
        """The rows that are not empty, ascending."""
        return np.array([row for row, text in enumerate(self.texts) if text], dtype=np.uint32)

    def pack(self, cells: NDArray[np.uint32]) -> list[bytes]:
        """The rows' numbers, lengths in bytes and texts."""
        encoded = [self.texts[row].encode("utf-8", "surrogatepass") for row in cells.tolist()]
        lengths = np.array([len(text) for text in encoded], dtype=np.uint32)
        return [cells.tobytes(), lengths.tobytes(), *encoded]

    def unpack(self, body: Reader, count: int, num_rows: int) -> tuple[NDArray[Any], Any]:
        """Reads what `pack` wrote, changing nothing."""
        rows = body.array("uint32", count)
        if count and int(rows.max()) >= num_rows:
            raise SnapshotRefused(
                f"column {self.name!r}: found row {int(rows.max())}, expected one below "
                f"{num_rows}; fetch a fresh base"
            )
        lengths = body.array("uint32", count).tolist()
        return rows, [body.take(length).decode("utf-8", "surrogatepass") for length in lengths]

    def load(self, cells: NDArray[Any], values: list[str], *, all_of_it: bool) -> None:
        """Sets rows without marking them: what a replica does."""
        del all_of_it  # nobody caches texts
        for row, text in zip(cells.tolist(), values, strict=True):
            self.texts[row] = text
