"""How are factors of users, items and contexts learned, an event at a time?

Online pairwise ranking: an action of user u on item i in context c says that i ranks above an item
j that u did not choose there. The model x is `models.factors`'s; each action makes one step of BPR
by stochastic gradient ascent (Rendle et al. 2009, "BPR: Bayesian Personalized Ranking from Implicit
Feedback", sections 4.1 to 4.3),

    theta += rate (sigma(x(u, j, c) - x(u, i, c)) d(x(u, i, c) - x(u, j, c))/d theta
                   - regularisation theta).

For tensors Rendle and Schmidt-Thieme (2010, "Pairwise Interaction Tensor Factorization") optimise
the same criterion; of their models this is the canonical decomposition, not PITF.

Where we differ: events are taken in the log's order, not drawn; j is the highest scored of
`num_candidates` uniform draws (Zhang et al. 2013, dynamic negative sampling; 1 is the paper's);
contexts are pulled towards 1, where they say nothing, and users towards `user_start`; what is
untold of a context is 1 for good; items have biases, which learn popularity and are not pulled.

All that is learned lives in tables, so a base and deltas carry it to replicas. It is a pure
function of the events and of how they were cut into calls: events of one call are judged by what
was known before the call and their steps are summed, so calls of one event are the algorithm
itself, and in larger ones a user's (or item's) second action does not know of the first, and rows
that most events share (an hour, a hot item) take a part of the sum.

Shape letters: B events, N items, D factors, M contexts, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.encoder_inputs import user_buckets
from models.factors import Factors, draws, refuse_overshooting, uniform, unsureness
from models.online.columns import Column, ColumnSpec
from models.online.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ITEMS_STREAM: Final = 2
_CONTEXTS_STREAM: Final = 3
_CANDIDATES_STREAM: Final = 4
UNTOLD: Final = -1
"""The value of a context of which nothing is known."""
# Steps that are taken from one state and summed overshoot, more with each call, until nothing is
# finite; 256 of one hour did, at a rate of .2. Products of three factors can run away even alone.
_LONGEST_STEP: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorisationConfig:
    """Sizes and rates.

    Attributes:
        num_factors: D.
        num_user_buckets: Rows of users, who share them by hash: the bound of memory.
        rate: Step size.
        regularisation: Of factors.
        num_candidates: Items drawn for each event, K.
        item_spread: First item factors lie within plus and minus this.
        context_spread: First context factors lie within 1 plus and minus this: were all contexts
            alike at first, items would learn long before they told them apart.
        user_start: First value of every user factor. 0 begins without a taste; above 0 contexts
            have something to act on before anything is known of a user.
    """

    num_factors: int = 64
    num_user_buckets: int = 2**17
    rate: float = 0.05
    regularisation: float = 0.01
    num_candidates: int = 16
    item_spread: float = 0.1
    context_spread: float = 0.5
    user_start: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            ValueError: Naming the setting.
        """
        for name in ("num_factors", "num_user_buckets", "rate", "num_candidates", "item_spread"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected more than 0")
        refuse_overshooting(self.regularisation, self.rate)


class Factorisation:
    """Factors in tables; rows of items are the caller's codes."""

    def __init__(
        self, config: FactorisationConfig, *, seed: int = 1, context_sizes: Sequence[int] = ()
    ) -> None:
        """Starts without items.

        Args:
            config: Sizes and rates.
            seed: Of first item factors and candidates.
            context_sizes: How many values each context has; none for a matrix factorisation.
        """
        self.config = config
        self._seed = seed
        self.table = Table(
            "factor_items",
            [_factors(config.num_factors), ColumnSpec(name="bias", dtype="float32")],
            meaning=seed,
        )
        self._users = Table(
            "factor_users",
            [_factors(config.num_factors, fill=config.user_start)],
            meaning=config.num_user_buckets,
        )
        self._contexts = Table(
            "factor_contexts", [_factors(config.num_factors, fill=1)], meaning=tuple(context_sizes)
        )
        self._totals = Table(
            "factor_totals", [ColumnSpec(name="num_events", dtype="int64")], meaning=seed
        )
        self._users.grow(config.num_user_buckets)
        self._untold_row = sum(context_sizes)
        self._contexts.grow(self._untold_row + 1)
        self._begin(
            self._contexts.columns["factors"],
            np.arange(self._untold_row),
            centre=1,
            spread=config.context_spread,
            stream=_CONTEXTS_STREAM,
        )
        self._totals.grow(1)
        self.tables = (self.table, self._users, self._contexts, self._totals)
        self._context_begin_M = np.cumsum([0, *context_sizes])[:-1]

    @property
    def factors(self) -> Factors:
        """What has been learned of items and contexts; views."""
        return Factors(
            item_ND=self._item.values,
            bias_N=self.table.columns["bias"].values,
            context_CD=self._contexts.columns["factors"].values,
        )

    def grow(self, num_items: int) -> None:
        """Makes sure that items up to this code exist; new ones begin with their first factors."""
        first = self.table.num_rows
        self.table.grow(num_items)
        self._begin_items(np.arange(first, num_items))

    def load(
        self,
        *,
        item_ND: NDArray[np.float32],
        bias_N: NDArray[np.float32],
        context_CD: NDArray[np.float32],
    ) -> None:
        """Takes over what `factors` gave; users are as if nobody had acted."""
        self.grow(len(item_ND))
        for column, values in (
            (self._item, item_ND),
            (self.table.columns["bias"], bias_N),
            (self._contexts.columns["factors"], context_CD),
        ):
            column.put_many(np.arange(values.size), values.ravel())

    def drop(self, retired: NDArray[np.integer]) -> None:
        """Forgets retired items; their codes begin anew."""
        self.table.clear_rows(retired)
        self._begin_items(retired.astype(np.int64))

    def context_rows(self, context_BM: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the factors' rows of each context's values, or of `UNTOLD`."""
        rows_BM: NDArray[np.int64] = context_BM + self._context_begin_M
        return np.where(context_BM == UNTOLD, self._untold_row, rows_BM)

    def keep_contexts(self, context_ZM: NDArray[np.int64]) -> None:
        """Lets all values but these be 1: first factors of one that never comes would be noise."""
        rows = np.setdiff1d(np.arange(self._untold_row), self.context_rows(context_ZM))
        cells_Z = self._cells(rows)
        self._contexts.columns["factors"].put_many(cells_Z, np.ones(len(cells_Z), np.float32))

    def user_factors(self, user_B: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Return what was learned of hashed users, `[B, D]`, or of whom they share a row with."""
        rows_B = user_buckets(user_B, self.config.num_user_buckets)
        factors_BD: NDArray[np.float32] = self._users.columns["factors"].values[rows_B]
        return factors_BD

    def candidates(self, num_events: int) -> NDArray[np.int64]:
        """Return items drawn for the next events, `[B, K]`; a pure function of their numbers."""
        first = self._totals.columns["num_events"].cells[0]
        num = self.config.num_candidates
        numbers_Z = np.arange(first * num, (first + num_events) * num)
        drawn_Z = draws(self._seed, _CANDIDATES_STREAM, numbers_Z, self.table.num_rows)
        drawn_BK: NDArray[np.int64] = drawn_Z.reshape(num_events, num)
        return drawn_BK

    def learn(
        self,
        user_B: NDArray[np.uint64],
        item_B: NDArray[np.int64],
        candidate_BK: NDArray[np.int64],
        context_BM: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Takes actions in and returns the loss, -ln sigma(x_i - x_j), of those learned from.

        Args:
            user_B: Hashed users.
            item_B: Codes of what they acted upon.
            candidate_BK: Codes of items that they did not choose; negative ones are none, and an
                event without any teaches nothing.
            context_BM: Values of each context, from 0, or `UNTOLD`; None where there are none.
        """
        events = self._totals.columns["num_events"]
        events.put(0, events.cells[0] + len(user_B))
        candidate_BK = np.where(candidate_BK == item_B[:, None], -1, candidate_BK)
        able = (candidate_BK >= 0).any(1)
        rows_B = user_buckets(user_B, self.config.num_user_buckets)
        if context_BM is None:
            context_BM = np.zeros((len(user_B), 0), np.int64)
        row_BM = self.context_rows(context_BM)
        return self._learn(rows_B[able], item_B[able], candidate_BK[able], row_BM[able])

    def _learn(
        self,
        row_B: NDArray[np.int64],
        above_B: NDArray[np.int64],
        candidate_BK: NDArray[np.int64],
        context_BM: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        item_ND, bias_N = self._item.values, self.table.columns["bias"].values
        user, context = self._users.columns["factors"], self._contexts.columns["factors"]
        user_BD, context_BMD = user.values[row_B], context.values[context_BM]
        context_BD = context_BMD.prod(1)
        query_BD = user_BD * context_BD
        below_B = self._highest(query_BD, candidate_BK)
        above_BD, below_BD = item_ND[above_B], item_ND[below_B]
        difference_BD = above_BD - below_BD
        margin_B = (query_BD * difference_BD).sum(1) + bias_N[above_B] - bias_N[below_B]
        pull_B1 = unsureness(margin_B)[:, None]

        # Every step is taken from the values before any of them moves.
        self._move(
            user, row_B, pull_B1 * difference_BD * context_BD, user_BD - np.float32(user.spec.fill)
        )
        self._move(self._item, above_B, pull_B1 * query_BD, above_BD)
        self._move(self._item, below_B, -pull_B1 * query_BD, below_BD)
        self._move_biases(above_B, below_B, pull_B1[:, 0])
        for place in range(context_BM.shape[1]):
            others_BD = np.delete(context_BMD, place, axis=1).prod(1)
            ascent_BD = pull_B1 * user_BD * difference_BD * others_BD
            told = context_BM[:, place] != self._untold_row
            self._move(
                context, context_BM[told, place], ascent_BD[told], context_BMD[told, place] - 1
            )
        losses_B: NDArray[np.float32] = np.logaddexp(0, -margin_B)
        return losses_B

    def _highest(
        self, query_BD: NDArray[np.float32], candidate_BK: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the highest scored candidate of each event."""
        bias_N = self.table.columns["bias"].values
        candidate_BKD = self._item.values[candidate_BK]
        scores_BK = (candidate_BKD @ query_BD[:, :, None])[:, :, 0] + bias_N[candidate_BK]
        scores_BK[candidate_BK < 0] = -np.inf
        highest_B = scores_BK.argmax(1)
        chosen_B: NDArray[np.int64] = candidate_BK[np.arange(len(highest_B)), highest_B]
        return chosen_B

    def _move(
        self,
        column: Column,
        row_B: NDArray[np.int64],
        ascent_BD: NDArray[np.float32],
        excess_BD: NDArray[np.float32],
    ) -> None:
        """Steps of rows; a row that is named twice takes the sum, see `_LONGEST_STEP`."""
        step_BD = self.config.rate * (ascent_BD - self.config.regularisation * excess_BD)
        row_U, place_B = np.unique(row_B, return_inverse=True)
        summed_UD = np.zeros((len(row_U), self.config.num_factors), np.float32)
        # Flat, because numpy adds by one index several times faster than by rows.
        np.add.at(summed_UD.reshape(-1), self._cells(place_B), step_BD.astype(np.float32).ravel())
        length_U = np.sqrt((summed_UD**2).sum(1))
        summed_UD *= (_LONGEST_STEP / np.maximum(length_U, _LONGEST_STEP))[:, None]
        column.put_many(self._cells(row_U), (column.values[row_U] + summed_UD).ravel())

    def _move_biases(
        self,
        above_B: NDArray[np.int64],
        below_B: NDArray[np.int64],
        pull_B: NDArray[np.float32],
    ) -> None:
        column = self.table.columns["bias"]
        rows_Z = np.concatenate([above_B, below_B])
        steps_Z = self.config.rate * np.concatenate([pull_B, -pull_B])
        np.add.at(column.values, rows_Z, steps_Z.astype(np.float32))
        column.mark(rows_Z)

    def _begin_items(self, row_Z: NDArray[np.int64]) -> None:
        self._begin(self._item, row_Z, 0, self.config.item_spread, _ITEMS_STREAM)

    def _begin(
        self, column: Column, row_Z: NDArray[np.int64], centre: float, spread: float, stream: int
    ) -> None:
        cells_Z = self._cells(row_Z)
        drawn_Z = uniform(self._seed, stream, cells_Z)
        column.put_many(cells_Z, (centre + spread * (2 * drawn_Z - 1)).astype(np.float32))

    def _cells(self, row_Z: NDArray[np.int64]) -> NDArray[np.int64]:
        width = self.config.num_factors
        cells_ZD: NDArray[np.int64] = row_Z[:, None] * width + np.arange(width)
        return cells_ZD.ravel()

    @property
    def _item(self) -> Column:
        return self.table.columns["factors"]


def _factors(width: int, fill: float = 0) -> ColumnSpec:
    return ColumnSpec(name="factors", dtype="float32", width=width, fill=fill)
