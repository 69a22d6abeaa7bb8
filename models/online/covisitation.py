"""What do users do next after an item? Decayed counts of item pairs, a few per item.

Row `a` holds, in `num_slots` slots, how often an item followed `a` among a user's next few positive
actions. When all slots are taken the pair with the smallest count makes room, even for a count that
is smaller still: counts decay, so a newcomer that keeps coming stays, and one that does not is the
next to go.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.online.columns import ColumnSpec
from models.online.decay import EMPTY, added, values
from models.online.questions import MAX_PREVIOUS
from models.online.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.online.questions import Query, Questions

_NO_ITEM = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CovisitationConfig:
    """Which pairs are counted, and how a user's last items are weighed.

    Tuned on hours 24 to 48 of a news log, HR@20/MRR@20. Half-life: 10 min .767/.360, 30 min
    .769/.359, 90 min .760/.347; a second one as a further input of the learned order gave nothing
    once popularity's velocity was there, nor did the second-last item alone. 64 slots equal
    unbounded rows (.752/.390), 32 lose (.744/.389). Falling weights learn better than equal ones
    (.752/.390 against .749/.388). Shares of each row, smoothed, beat raw counts plus a part of
    popularity (.783/.351 against .779/.344); `strength` 3 to 10 and second weights of .2 to .5 are
    alike.

    Attributes:
        half_life_ms: Of the counts.
        num_slots: Pairs remembered per item, at least 2.
        learn_weights: `[k]` is what a pair counts whose first item lies k+1 positive actions back.
        query_weights: `[k]` is how much the user's (k+1)-last positive item speaks.
        strength: Actions at popularity's shares that every row is credited with.
    """

    half_life_ms: int = 1_800_000
    num_slots: int = 64
    learn_weights: tuple[float, ...] = (1.0, 0.5, 0.25)
    query_weights: tuple[float, ...] = (1.0, 0.3, 0.1)
    strength: float = 4.0

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            ValueError: Naming the setting.
        """
        if self.half_life_ms <= 0:
            raise ValueError(f"half_life_ms: found {self.half_life_ms}, expected one above 0")
        if self.num_slots < 2:
            raise ValueError(f"num_slots: found {self.num_slots}, expected at least 2")
        if not self.query_weights or min((*self.learn_weights, *self.query_weights)) <= 0:
            raise ValueError("learn_weights, query_weights: expected weights above 0")
        if max(len(self.learn_weights), len(self.query_weights)) > MAX_PREVIOUS:
            raise ValueError(f"learn_weights, query_weights: expected at most {MAX_PREVIOUS}")
        if not self.strength > 0:
            raise ValueError(f"strength: found {self.strength}, expected one above 0")


class RowsAsked(NamedTuple):
    """Rows that speak to queries.

    Attributes:
        codes: int64[R], the rows.
        owners: int64[R], the query of each.
        kinds: int64[R], what tells the rows of one query apart.
    """

    codes: NDArray[np.int64]
    owners: NDArray[np.int64]
    kinds: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int]]) -> RowsAsked:
        """Take rows as (row, query, kind)."""
        return cls(*np.array(rows, np.int64).reshape(-1, 3).T)


class PairCounts:
    """Rows of at most `num_slots` decayed counts, each of an item."""

    def __init__(self, name: str, half_life_ms: int, num_slots: int) -> None:
        self._half_life_ms = half_life_ms
        self.num_slots = num_slots
        self.table = Table(
            name,
            [
                ColumnSpec(name="code", dtype="int32", width=num_slots, fill=_NO_ITEM),
                ColumnSpec(name="log2_mass", dtype="float64", width=num_slots, fill=EMPTY),
            ],
            meaning=half_life_ms,
        )
        self._code = self.table.columns["code"]
        self._log2_mass = self.table.columns["log2_mass"]
        self._places = np.zeros(0, dtype=np.int32)

    def add(self, rows: Sequence[int], weights: Sequence[float], code: int, time_ms: int) -> None:
        """Adds `weights[i]` > 0 to the count of `code` in `rows[i]`; rows are different."""
        matches = (self._code.values[list(rows)] == code).argmax(axis=1).tolist()
        for row, weight, slot in zip(rows, weights, matches, strict=True):
            cell = row * self.num_slots + slot
            if self._code.cells[cell] != code:
                cell = self._make_room(row, code)
            mass = added(self._log2_mass.cells[cell], weight, time_ms, self._half_life_ms)
            self._log2_mass.put(cell, mass)

    def _make_room(self, row: int, code: int) -> int:
        cell = row * self.num_slots + int(self._log2_mass.values[row].argmin())
        self._code.put(cell, code)
        self._log2_mass.put(cell, EMPTY)
        return cell

    def slots(self, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int32]:
        """The items of each row's slots, int32[R, K], -1 where a slot is empty."""
        slots: NDArray[np.int32] = self._code.values[np.asarray(rows, np.int64)]
        return slots

    def counts(
        self, rows: Sequence[int] | NDArray[np.integer], now_ms: int | NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The counts in each row's slots, float64[R, K], at one `now_ms` or at one a row."""
        masses = self._log2_mass.values[np.asarray(rows, np.int64)]
        each = now_ms if isinstance(now_ms, int) else now_ms[:, None]
        return values(masses, each, self._half_life_ms)

    def spread(
        self, rows: RowsAsked, amounts: NDArray[np.float64], asked: Questions, num_kinds: int = 1
    ) -> NDArray[np.float64]:
        """For each item the sum of the amounts in its slots of its query's rows.

        Args:
            rows: Of the queries.
            amounts: float64[R, K], for each slot.
            asked: N items.
            num_kinds: Kinds of rows that are summed apart.

        Returns:
            float64[num_kinds, N], 0 for items that are in no slot.
        """
        num_items, slots = len(asked), self.slots(rows.codes)
        size = max(int(slots.max(initial=-1)), int(asked.codes.max(initial=-1))) + 2
        if self._places.size < len(asked.queries) * size:
            self._places = np.zeros(2 * len(asked.queries) * size, dtype=np.int32)
        # A query's first cell is that of empty slots (code -1); no item is there.
        places, cells = self._places, asked.owners * size + asked.codes + 1
        places[cells] = np.arange(1, num_items + 1)
        groups = places[(rows.owners * size + 1)[:, None] + slots]
        groups = groups + (rows.kinds * (num_items + 1))[:, None]
        sums = np.bincount(
            groups.ravel(), weights=amounts.ravel(), minlength=num_kinds * (num_items + 1)
        )
        # An item that is named twice has one place, the latter.
        of_kinds = np.arange(num_kinds)[:, None] * (num_items + 1)
        found: NDArray[np.float64] = sums[places[cells] + of_kinds]
        places[cells] = 0
        return found

    def drop_codes(self, retired: NDArray[np.integer], num_codes: int) -> None:
        """Empties the slots of retired items, in all rows."""
        is_retired = np.zeros(num_codes + 1, dtype=np.bool_)
        is_retired[retired] = True
        cells = np.flatnonzero(is_retired[self._code.values.ravel()])
        self._code.put_many(cells, np.full(cells.size, _NO_ITEM, dtype=np.int32))
        self._log2_mass.put_many(cells, np.full(cells.size, EMPTY))


class Covisitation:
    """Decayed counts of what followed what."""

    def __init__(self, config: CovisitationConfig) -> None:
        self._config = config
        self._pairs = PairCounts("covisitation", config.half_life_ms, config.num_slots)
        self.table = self._pairs.table
        self.num_previous = len(config.query_weights)
        self._query_weights = np.array(config.query_weights)
        self._changed: dict[int, None] = {}

    def learn(self, previous: Sequence[int], code: int, weight: float, time_ms: int) -> None:
        """Counts that `code` followed `previous` (codes, the latest first; unknown ones < 0)."""
        pairs: dict[int, float] = {}
        for row, pair_weight in zip(previous, self._config.learn_weights, strict=False):
            if row >= 0 and row != code and row not in pairs:
                pairs[row] = weight * pair_weight
        if pairs:
            self._pairs.add(list(pairs), list(pairs.values()), code, time_ms)
            self._changed |= dict.fromkeys(pairs)

    def take_changed(self, num: int) -> list[int]:
        """At most `num` items that something has followed since they were taken, the first first.

        Nothing is among them that was learned before a snapshot was taken in.
        """
        taken = list(islice(self._changed, num))
        for code in taken:
            del self._changed[code]
        return taken

    def followers(self, queries: Sequence[Query]) -> list[NDArray[np.int32]]:
        """For each of some queries every item that followed one of `previous`, ascending."""
        rows = self._rows(queries)
        slots = self._pairs.slots(rows.codes)
        width = int(slots.max(initial=-1)) + 2
        cells = np.sort(((rows.owners * width + 1)[:, None] + slots).ravel())
        owners, codes = np.divmod(cells[_is_first(cells)], width)
        codes -= 1
        known = codes >= 0
        ends = np.bincount(owners[known], minlength=len(queries)).cumsum()
        return np.split(codes[known].astype(np.int32), ends[:-1])

    def shares(self, asked: Questions, popularity: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely each item comes next, as far as the user's last items can tell.

        An item's row says (count + k popularity) / (sum of the row + k), k being the strength; the
        rows of the known items of `previous` are averaged by their weights.

        Args:
            asked: N items.
            popularity: Share of each of them in all actions, float64[N]; all there is to say for
                users without known items.

        Returns:
            float64[N].
        """
        rows, num_queries = self._rows(asked.queries), len(asked.queries)
        if not len(rows.codes):
            return popularity
        counts = self._pairs.counts(rows.codes, asked.query_times_ms[rows.owners])
        weights = self._query_weights[rows.kinds]
        total_B = np.bincount(rows.owners, weights=weights, minlength=num_queries)
        # What one action counts in each row.
        of_action = weights / total_B[rows.owners]
        of_action /= counts.sum(axis=1) + self._config.strength
        counts *= of_action[:, None]
        all_one_kind = rows._replace(kinds=np.zeros_like(rows.kinds))
        shares: NDArray[np.float64] = self._pairs.spread(all_one_kind, counts, asked)[0]
        of_all_B = np.bincount(rows.owners, weights=of_action, minlength=num_queries)
        credit_B = np.multiply(of_all_B, self._config.strength)
        # Without known items popularity has all of the credit.
        credit_B[total_B == 0] = 1.0
        shares += credit_B[asked.owners] * popularity
        return shares

    def causes(self, asked: Questions) -> NDArray[np.int32]:
        """For each item the one of its query's `previous` that speaks for it most, -1 for none."""
        rows = self._rows(asked.queries)
        if not len(rows.codes) or not len(asked):
            return np.full(len(asked), _NO_ITEM, dtype=np.int32)
        counts = self._pairs.counts(rows.codes, asked.query_times_ms[rows.owners])
        shares = counts * self._query_weights[rows.kinds][:, None]
        shares /= counts.sum(axis=1, keepdims=True) + self._config.strength
        found = self._pairs.spread(rows, shares, asked, self.num_previous)
        row_BP = np.full((len(asked.queries), self.num_previous), _NO_ITEM, np.int32)
        row_BP[rows.owners, rows.kinds] = rows.codes
        best = row_BP[asked.owners, found.argmax(axis=0)]
        return np.where(found.max(axis=0) > 0, best, np.int32(_NO_ITEM))

    def _rows(self, queries: Sequence[Query]) -> RowsAsked:
        return RowsAsked.of(
            [
                (row, owner, lag)
                for owner, query in enumerate(queries)
                for lag, row in enumerate(query.previous[: self.num_previous])
                if row >= 0
            ]
        )

    def drop(self, retired: NDArray[np.integer]) -> None:
        """Forgets retired items: their rows, and their slots in the rows of others."""
        self.table.clear_rows(retired)
        for code in retired.tolist():
            self._changed.pop(code, None)
        self._pairs.drop_codes(retired, self.table.num_rows)


def _is_first(ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of ordered numbers differ from the one before; np.unique would hash them all first."""
    is_first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return is_first
