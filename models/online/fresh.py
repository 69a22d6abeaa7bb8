"""Which items are new? Their first appearance or publication, in event time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.online.columns import ColumnSpec
from models.online.tables import Table
from models.online.top_rows import TopRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEVER = -(2**62)


class Fresh:
    """The time at which each item appeared."""

    def __init__(self) -> None:
        self.table = Table("fresh", [ColumnSpec(name="since_ms", dtype="int64", fill=_NEVER)])
        self._since_ms = self.table.columns["since_ms"]
        self._newest = TopRows(self._since_ms)

    def learn(self, code: int, since_ms: int) -> None:
        """Notes when an item appeared; the first note stands."""
        if self._since_ms.cells[code] == _NEVER:
            self._since_ms.put(code, since_ms)
            self._newest.touch(code)

    def ages_ms(
        self, codes: NDArray[np.integer], now_ms: int | NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Age of each item at `now_ms` (its own or one), never negative; huge where unknown."""
        if not self.table.num_rows:
            return np.zeros(len(codes), np.int64) + (now_ms - _NEVER)
        since_ms = np.where(codes >= 0, self._since_ms.values[codes], _NEVER)
        ages_ms: NDArray[np.int64] = np.maximum(now_ms - since_ms, 0)
        return ages_ms

    def newest(self, num: int) -> NDArray[np.int64]:
        """The `num` items that appeared last, newest first."""
        return self._newest.largest(num)

    def drop(self, retired: NDArray[np.integer]) -> None:
        """Forgets retired items."""
        self.table.clear_rows(retired)
        self.forget_caches()

    def forget_caches(self) -> None:
        """To be called when a payload was taken in."""
        self._newest.forget()
