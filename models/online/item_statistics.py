"""How often is an item shown, and how often is it then clicked? Decayed, and smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.online.columns import ColumnSpec
from models.online.decay import EMPTY, added, values
from models.online.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStatisticsConfig:
    """`strength` is how many impressions at the overall rate every item is credited with."""

    half_life_ms: int = 3_600_000
    strength: float = 20.0


class ItemStatistics:
    """Decayed impressions and clicks of each item, and of all items together."""

    def __init__(self, config: ItemStatisticsConfig) -> None:
        self._config = config
        columns = [
            ColumnSpec(name=name, dtype="float64", fill=EMPTY) for name in ("impressions", "clicks")
        ]
        self.table = Table("item_statistics", columns, meaning=config.half_life_ms)
        self._totals = Table("item_statistics_totals", columns, meaning=config.half_life_ms)
        self._totals.grow(1)
        self.tables = (self.table, self._totals)

    def learn_impressions(self, codes: Iterable[int], time_ms: int) -> None:
        """Counts that items were shown."""
        column, half_life_ms = self.table.columns["impressions"], self._config.half_life_ms
        num_shown = 0
        for code in codes:
            column.put(code, added(column.cells[code], 1.0, time_ms, half_life_ms))
            num_shown += 1
        if num_shown:
            total = self._totals.columns["impressions"]
            total.put(0, added(total.cells[0], num_shown, time_ms, half_life_ms))

    def learn_click(self, code: int, time_ms: int) -> None:
        """Counts that a shown item was clicked."""
        for table, row in ((self.table, code), (self._totals, 0)):
            column = table.columns["clicks"]
            column.put(row, added(column.cells[row], 1.0, time_ms, self._config.half_life_ms))

    def features(
        self, codes: NDArray[np.integer], now_ms: int | NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """float32[N, 2]: log2(1 + impressions), and the smoothed click rate's log-odds.

        All at `now_ms`, each item's own or one for all. The rate is
        (clicks + s r) / (impressions + s), r being the overall rate; negative codes (unknown items)
        get what an item that was never shown gets.
        """
        known = codes >= 0
        impressions = self._counts("impressions", codes, now_ms) * known
        clicks = self._counts("clicks", codes, now_ms) * known
        strength = self._config.strength
        rate = (clicks + strength * self._overall_rate(now_ms)) / (impressions + strength)
        rate = np.clip(rate, 1e-6, 1 - 1e-6)
        columns = [np.log2(1 + impressions), np.log(rate / (1 - rate))]
        return np.stack(columns, axis=1).astype(np.float32)

    def _counts(
        self, name: str, codes: NDArray[np.integer], now_ms: int | NDArray[np.int64]
    ) -> NDArray[np.float64]:
        if not self.table.num_rows:
            return np.zeros(len(codes))
        return values(self.table.columns[name].values[codes], now_ms, self._config.half_life_ms)

    def _overall_rate(self, now_ms: int | NDArray[np.int64]) -> NDArray[np.float64]:
        """Of all items, itself smoothed by one click in twenty impressions."""
        impressions, clicks = (
            values(self._totals.columns[name].values, now_ms, self._config.half_life_ms)
            for name in ("impressions", "clicks")
        )
        return (clicks + 1) / (impressions + 20)

    def drop(self, retired: NDArray[np.integer]) -> None:
        """Forgets retired items."""
        self.table.clear_rows(retired)
