"""What is being acted on now? Item counts that decay with event time, at several half-lives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.online.columns import ColumnSpec
from models.online.decay import EMPTY, added, value, values
from models.online.tables import Table
from models.online.top_rows import TopRows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PopularityConfig:
    """Half-lives of the counts; the first orders the trending list."""

    half_lives_ms: tuple[int, ...] = (360_000, 1_800_000)


class Popularity:
    """Decayed weight of positive actions an item."""

    def __init__(self, config: PopularityConfig) -> None:
        self.half_lives_ms = config.half_lives_ms
        names = [f"log2_mass_{half_life_ms}" for half_life_ms in config.half_lives_ms]
        self.table = Table(
            "popularity", [ColumnSpec(name=name, dtype="float64", fill=EMPTY) for name in names]
        )
        self._columns = [self.table.columns[name] for name in names]
        self._totals = Table(
            "popularity_totals",
            [ColumnSpec(name="log2_mass", dtype="float64", fill=EMPTY)],
            meaning=config.half_lives_ms,
        )
        self._totals.grow(len(names))
        self._total = self._totals.columns["log2_mass"]
        self.tables = (self.table, self._totals)
        self._top = TopRows(self._columns[0])

    def learn(self, code: int, weight: float, time_ms: int) -> None:
        """Counts an action of `weight` > 0."""
        for index, (column, half_life_ms) in enumerate(
            zip(self._columns, self.half_lives_ms, strict=True)
        ):
            column.put(code, added(column.cells[code], weight, time_ms, half_life_ms))
            total = self._total.cells[index]
            self._total.put(index, added(total, weight, time_ms, half_life_ms))
        self._top.touch(code)

    def total(self, now_ms: int, index: int = 0) -> float:
        """Count of all items together, retired ones included."""
        return value(self._total.cells[index], now_ms, self.half_lives_ms[index])

    def counts(
        self, codes: NDArray[np.integer], now_ms: int | NDArray[np.int64], index: int = 0
    ) -> NDArray[np.float64]:
        """Count of each item at `now_ms` (its own or one), for the half-life of that index."""
        return values(self._columns[index].values[codes], now_ms, self.half_lives_ms[index])

    def log_counts(self, now_ms: int, index: int, floor: float) -> NDArray[np.float64]:
        """Logarithm of every row's count, `floor` at least; -inf where nothing was ever counted."""
        masses = self._columns[index].values
        logs = (masses - now_ms / self.half_lives_ms[index]) * math.log(2)
        np.maximum(logs, math.log(floor), out=logs, where=masses != EMPTY)
        return logs

    def largest(self, num: int) -> NDArray[np.int64]:
        """The `num` items with the largest count of the first half-life, largest first."""
        return self._top.largest(num)

    def drop(self, retired: NDArray[np.integer]) -> None:
        """Forgets retired items."""
        self.table.clear_rows(retired)
        self.forget_caches()

    def forget_caches(self) -> None:
        """To be called when a payload was taken in."""
        self._top.forget()
