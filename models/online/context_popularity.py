"""What is being acted on in the same circumstances: region, device, where the reader came from?

Each value of each named context feature is a row of decayed item counts; the answer is a *lift*,
how much more (or less) of that value's actions an item takes than of all actions:

    lift(i | c) = log( (n_ci + k p_c) / (p_c (n_i + k)) )

where n are counts of one half-life, p_c is the share of value c in the feature's actions, and k
pulls items with few actions towards 0. An item without a slot in the row counts as 0 there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from models.online.columns import ColumnSpec
from models.online.covisitation import PairCounts, RowsAsked
from models.online.decay import EMPTY, added
from models.online.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.online.questions import Questions

SESSION_STEP = "session_step"
"""Name of the one circumstance that is no event's context: how far the session has got."""

MAX_STEP = 3
"""Steps from here on are alike."""
ABSENT = -1
"""The row of a context feature that an event does not carry."""

_MIN_SHARE = 1e-6


def circumstances(
    context: Mapping[str, object] | None, session_num_actions: int
) -> dict[str, object]:
    """The context with the session's step: what `ContextPopularity` is asked and told about.

    Args:
        context: Of the event.
        session_num_actions: Actions of the session before the one that is foreseen or learned.

    >>> circumstances({"device": "phone"}, 7)
    {'device': 'phone', 'session_step': 3}
    """
    return {**(context or {}), SESSION_STEP: min(session_num_actions, MAX_STEP)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPopularityConfig:
    """Which context features are counted.

    On hours 24 to 48 of a news log (second half, learned order over all counters) region, referrer
    and device as of the page opening took .790/.345 HR@20/MRR@20 to .800/.359, as of the user's
    action before to .796/.350; half-lives of 30 min and 2 h were alike, `strength` 1 to 20 too. The
    session's step added .001/.004.

    Attributes:
        names: Keys of an event's context; what events do not carry costs nothing.
        num_buckets: Values told apart per name, by hash.
        num_slots: Items remembered per value.
        half_life_ms: Of the counts; popularity must keep one of the same half-life.
        strength: k above, in actions.
    """

    names: tuple[str, ...] = ("device", "region", "referrer", SESSION_STEP)
    num_buckets: int = 128
    num_slots: int = 256
    half_life_ms: int = 1_800_000
    strength: float = 5.0


class ContextPopularity:
    """Decayed item counts per context value."""

    def __init__(self, config: ContextPopularityConfig) -> None:
        self._config = config
        self._pairs = PairCounts("context_items", config.half_life_ms, config.num_slots)
        self._totals = Table(
            "context_totals",
            [ColumnSpec(name="log2_mass", dtype="float64", fill=EMPTY)],
            meaning=(config.names, config.num_buckets, config.half_life_ms),
        )
        self._total = self._totals.columns["log2_mass"]
        num_names, self._all_of_name = len(config.names), len(config.names) * config.num_buckets
        self._pairs.table.grow(self._all_of_name)
        # The rows behind the values' hold each name's total.
        self._totals.grow(self._all_of_name + num_names)
        self.tables = (self._pairs.table, self._totals)
        self._rows: dict[tuple[int, str], int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The context features that are counted."""
        return self._config.names

    def rows(self, context: Mapping[str, object]) -> tuple[int, ...]:
        """The row of each configured feature's value, `ABSENT` where the event has none."""
        told = map(context.get, self._config.names)
        return tuple(
            ABSENT if value is None else self._row(position, str(value))
            for position, value in enumerate(told)
        )

    def _row(self, position: int, text: str) -> int:
        row = self._rows.get((position, text))
        if row is None:
            digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest()
            bucket = int.from_bytes(digest, "big") % self._config.num_buckets
            row = position * self._config.num_buckets + bucket
            if len(self._rows) < 4 * self._all_of_name:  # a cache: values are not bounded
                self._rows[position, text] = row
        return row

    def learn(self, context_rows: tuple[int, ...], code: int, weight: float, time_ms: int) -> None:
        """Counts a positive action of `weight` in its circumstances."""
        known = [row for row in context_rows if row >= 0]
        if not known:
            return
        self._pairs.add(known, [weight] * len(known), code, time_ms)
        for position, row in enumerate(context_rows):
            if row >= 0:
                for cell in (row, self._all_of_name + position):
                    mass = added(self._total.cells[cell], weight, time_ms, self._half_life_ms)
                    self._total.put(cell, mass)

    @property
    def _half_life_ms(self) -> int:
        return self._config.half_life_ms

    def lifts(self, asked: Questions, popularity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-lift of each item under each feature's value; 0 where the value says nothing.

        Args:
            asked: N items.
            popularity: Their counts over all values, float64[N], of the same half-life.

        Returns:
            float64[C, N] for C names.
        """
        num_names = len(self._config.names)
        said = [
            (row, owner, position)
            for owner, query in enumerate(asked.queries)
            for position, row in enumerate(query.context_rows)
            if row >= 0 and self._total.cells[row] != EMPTY
        ]
        if not said:
            return np.zeros((num_names, len(asked)))
        rows = RowsAsked.of(said)
        counts = self._pairs.counts(rows.codes, asked.query_times_ms[rows.owners])
        in_value = self._pairs.spread(rows, counts, asked, num_names)
        share_CB = np.zeros((num_names, len(asked.queries)))
        share_CB[rows.kinds, rows.owners] = [
            self._share(position, row) for row, _, position in said
        ]
        shares, strength = share_CB[:, asked.owners], self._config.strength
        # A value that says nothing has share 0, and so 0 of 0.
        says = shares > 0
        lifts = np.ones((num_names, len(asked)))
        np.divide(
            in_value + strength * shares,
            shares * (popularity + strength),
            out=lifts,
            where=says,
        )
        return np.log(lifts, out=lifts)

    def _share(self, position: int, row: int) -> float:
        """Of a value among its feature's actions; does not depend on now: both decay alike."""
        total = self._total.cells[self._all_of_name + position]
        return max(math.exp2(self._total.cells[row] - total), _MIN_SHARE)

    def drop(self, retired: NDArray[np.integer], num_codes: int) -> None:
        """Forgets retired items."""
        self._pairs.drop_codes(retired, num_codes)
