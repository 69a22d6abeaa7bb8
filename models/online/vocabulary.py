"""Which row of the learned tables belongs to which item?

A *code* is that row. Codes are given in the order of first appearance in the log, so every replay
gives the same ones. At most `max_items` items are known at a time: when all rows are taken, the
batch of items whose last event is oldest in event time retires, and their rows are used again,
smallest first. Whoever stores a code in a cell must drop the retired ones (`retire` returns them);
whoever keeps an item outside the tables keeps its key, never its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop
from typing import TYPE_CHECKING

import numpy as np

from models.online.columns import ColumnSpec
from models.online.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNKNOWN = -1
"""The code of an item that is not, or no longer, in the vocabulary."""

_NO_KEY = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyConfig:
    """`retire_share` of the rows is freed at once, so that the cost of clearing is amortised."""

    max_items: int = 200_000
    retire_share: float = 1 / 16


class Vocabulary:
    """Items, their keys and their rows."""

    def __init__(self, config: VocabularyConfig) -> None:
        self._config = config
        self.table = Table(
            "vocabulary",
            [
                ColumnSpec(name="key", dtype="uint64", fill=_NO_KEY),
                ColumnSpec(name="last_event_ms", dtype="int64", fill=-(2**62)),
            ],
            texts=("item_id",),
        )
        self._key = self.table.columns["key"]
        self._last_event_ms = self.table.columns["last_event_ms"]
        self._item_id = self.table.texts["item_id"]
        self._codes: dict[int, int] = {}
        self._key_of: list[int] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def num_rows(self) -> int:
        """Rows that exist, free ones included: every code is below."""
        return self.table.num_rows

    @property
    def is_full(self) -> bool:
        """Whether the next new item needs `retire` first."""
        return not self._free and self.num_rows >= self._config.max_items

    def add(self, item_id: str, key: int, now_ms: int) -> int:
        """The item's code, given now if it had none; `now_ms` (event time) keeps it from retiring.

        Raises:
            ValueError: The vocabulary is full; call `retire` first.
        """
        code = self._codes.get(key)
        if code is None:
            code = self._allocate()
            self._codes[key] = code
            self._key.put(code, key)
            self._item_id.put(code, item_id)
        if now_ms > self._last_event_ms.cells[code]:
            self._last_event_ms.put(code, now_ms)
        return code

    def _allocate(self) -> int:
        if self._free:
            return heappop(self._free)
        if self.is_full:
            raise ValueError(
                f"found {len(self)} items, expected fewer than {self._config.max_items}: "
                "retire a batch before adding"
            )
        self.table.grow(self.num_rows + 1)
        return self.num_rows - 1

    def retire(self) -> NDArray[np.int64]:
        """Forgets the items whose last event is oldest; returns their former codes, ascending."""
        num_retired = max(1, int(self._config.max_items * self._config.retire_share))
        used = np.flatnonzero(self._key.values)
        oldest = np.argsort(self._last_event_ms.values[used], kind="stable")[:num_retired]
        codes = np.sort(used[oldest])
        for key in self._key.values[codes].tolist():
            del self._codes[key]
        self.table.clear_rows(codes)
        self._free.extend(codes.tolist())
        heapify(self._free)
        return codes

    def code(self, key: int) -> int:
        """The item's code, or `UNKNOWN`."""
        return self._codes.get(key, UNKNOWN)

    def codes(self, keys: Sequence[int]) -> NDArray[np.int32]:
        """The items' codes, `UNKNOWN` where there is none; plain integers are looked up fastest."""
        get = self._codes.get
        return np.array([get(key, UNKNOWN) for key in keys], dtype=np.int32)

    def item_id(self, code: int) -> str:
        """The item of a code in use."""
        return self._item_id.texts[code]

    @property
    def keys(self) -> NDArray[np.uint64]:
        """Key of each row, 0 where the row is free."""
        return self._key.values

    @property
    def last_event_ms(self) -> NDArray[np.int64]:
        """Event time of each row's latest event."""
        return self._last_event_ms.values

    def refresh(self) -> None:
        """Renews what is derived from the table, after a payload was taken in."""
        loaded = self._key.loaded
        if loaded is None:
            self._codes.clear()
            self._key_of.clear()
        changed = range(self.num_rows) if loaded is None else loaded.tolist()
        self._key_of.extend([_NO_KEY] * (self.num_rows - len(self._key_of)))
        for code in changed:
            self._codes.pop(self._key_of[code], None)
        for code in changed:
            key = self._key_of[code] = self._key.cells[code]
            if key != _NO_KEY:
                self._codes[key] = code
        if loaded is None or self._free or len(self._codes) < self.num_rows:
            self._free = np.flatnonzero(self._key.values == _NO_KEY).tolist()
