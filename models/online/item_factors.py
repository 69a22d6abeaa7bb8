"""How are users and items factorised online, an action at a time, without a row for any user?

Matrix factorisation, x(u, i) = user_u . item_i, in which a user is the weighted mean of the factors
of their last items (Kabbur, Ning and Karypis 2013, "FISM: Factored Item Similarity Models for Top-N
Recommender Systems"). So items are all that is learned, kept and published, and a user is up to
date with the very action that a list is made for.

Each action makes one step on -ln of the softmax of x over its item and `num_drawn` others. With one
other that is BPR's -ln sigma(x_i - x_j) (Rendle et al. 2009, section 4.1); several tell more an
action (Hidasi and Karatzoglou 2018, "Recurrent Neural Networks with Top-k Gains for Session-based
Recommendations"). The step's size is AdaGrad's (Duchi, Hazan and Singer 2011), with one sum of
squares an item.

The others are drawn from the items of the last actions, so in proportion to their popularity, and
what x settles at is how much more likely an item is *for this user* than for all, in nats (Levy and
Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization"). Popularity is therefore no
part of the factors; who asks adds its logarithm.

Where we differ from FISM: weights fall with the item's place in the user's history, one matrix
serves both as history and as what is foreseen, there are no biases, and actions are taken once, in
the log's order.

All that is learned lives in tables and is a pure function of the actions in the order of the log;
what is drawn depends on the number of the action alone.

Shape letters: H items of a history, C the item and what was drawn, D factors, N items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.checks import require
from models.factors import uniform
from models.online.columns import ColumnSpec
from models.online.questions import MAX_PREVIOUS
from models.online.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NO_ITEM: Final = -1
_SPREAD: Final = 0.1
_SEED: Final = 1
_STREAM: Final = 5
# AdaGrad's sums begin here: without it a gradient of 0 would be divided by 0.
_FIRST_SQUARES: Final = 1e-6
# Knuth's multiplier (The Art of Computer Programming, volume 3, section 6.4): the parts of a cycle
# that successive numbers begin at are spread evenly over it.
_SPREADING: Final = 2_654_435_761
_WORD: Final = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFactorsConfig:
    """Sizes and rates.

    Attributes:
        num_factors: D.
        rate: AdaGrad's step size.
        num_drawn: Items that an action's own is told from.
        num_drawn_from: They are drawn from the items of so many last actions.
        num_recent: Items of a user's history that are read, the last ones.
        recency: What an item of the history weighs, as a share of the one after it.
    """

    num_factors: int = 32
    rate: float = 0.2
    num_drawn: int = 16
    num_drawn_from: int = 4096
    num_recent: int = 10
    recency: float = 0.8

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            ValueError: Naming every bad setting.
        """
        require(
            (self.num_factors >= 2, "num_factors at least 2"),
            (self.rate > 0, "rate above 0"),
            (self.num_drawn >= 1, "num_drawn at least 1"),
            (self.num_drawn_from >= self.num_drawn, "num_drawn_from at least num_drawn"),
            (1 <= self.num_recent <= MAX_PREVIOUS, f"num_recent from 1 to {MAX_PREVIOUS}"),
            (0 < self.recency <= 1, "recency above 0 and at most 1"),
        )


class ItemFactors:
    """Factors of items, whose rows are the vocabulary's codes."""

    def __init__(self, config: ItemFactorsConfig) -> None:
        """Starts with nothing learned."""
        self._config = config
        self.num_recent = config.num_recent
        self.table = Table(
            "factors",
            [
                ColumnSpec(name="factors", dtype="float32", width=config.num_factors),
                ColumnSpec(name="squares", dtype="float32"),
            ],
            # What a user's mean is made of; the other settings say how factors are learned.
            meaning=(config.num_recent, config.recency),
        )
        self._last = Table(
            "factors_last",
            [ColumnSpec(name="code", dtype="int32", fill=_NO_ITEM)],
            meaning=config.num_drawn_from,
        )
        self._last.grow(config.num_drawn_from)
        self._totals = Table("factors_totals", [ColumnSpec(name="num_actions", dtype="int64")])
        self._totals.grow(1)
        self.tables = (self._last, self._totals)
        self._factors, self._squares = self.table.columns.values()
        self._code = self._last.columns["code"]
        self._num_actions = self._totals.columns["num_actions"]
        self._weights = config.recency ** np.arange(config.num_recent, dtype=np.float32)
        # Parts of one cycle: no two draws of an action are of the same place.
        self._places = np.arange(config.num_drawn) * config.num_drawn_from // config.num_drawn

    def user(self, previous: Sequence[int]) -> NDArray[np.float32] | None:
        """Factors of a user, float32[D]; None where nothing has been learned of their items.

        Args:
            previous: Codes of the user's last items, the latest first; unknown ones are negative.
        """
        history = [code for code in previous if code >= 0 and self._squares.cells[code]]
        if not history:
            return None
        of_history_HD = self._factors.values[history[: self.num_recent]]
        user_D: NDArray[np.float32] = self._shares(len(of_history_HD)) @ of_history_HD
        return user_D

    def lifts(self, user_D: NDArray[np.float32], codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Nats by which items are likelier for the user than for all: x, float32[N].

        An item's is the same whatever else is asked about.
        """
        lifts_N: NDArray[np.float32]
        lifts_N = np.einsum("nd,d->n", self._factors.values[codes], user_D)
        return lifts_N

    def all_lifts(self, user_D: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same of every row; may differ from `lifts` in the last bits."""
        lifts_N: NDArray[np.float32] = self._factors.values @ user_D
        return lifts_N

    def learn(self, previous: Sequence[int], code: int, weight: float) -> None:
        """Takes an action in.

        Args:
            previous: Codes of the user's items before it, the latest first, each once; unknown
                ones are negative.
            code: What was acted on.
            weight: Of the action, above 0.
        """
        if not self._squares.cells[code]:
            self._begin(code)
        history = [
            one for one in previous if one >= 0 and one != code and self._squares.cells[one]
        ][: self.num_recent]
        drawn = self._drawn({code, _NO_ITEM, *history})
        self._remember(code)
        if history and drawn:
            self._step(history, code, drawn, weight)

    def _step(self, history: list[int], code: int, drawn: dict[int, int], weight: float) -> None:
        rows = np.array([code, *drawn, *history])
        factors, squares = self._factors.values, self._squares.values
        of_rows = factors[rows]
        own_CD, of_history_HD = of_rows[: 1 + len(drawn)], of_rows[1 + len(drawn) :]
        shares_H = self._shares(len(history))
        user_D = shares_H @ of_history_HD
        odds_C = own_CD @ user_D
        odds_C -= odds_C.max()
        np.exp(odds_C, out=odds_C)
        odds_C[1:] *= [*drawn.values()]
        surprise_C = odds_C / odds_C.sum()
        surprise_C[0] -= 1
        surprise_C *= weight
        pull_D = surprise_C @ own_CD
        # Each row's gradient is one of two directions, times a number of its own.
        along = np.concatenate((surprise_C, shares_H))
        lengths = along * along
        lengths[: len(surprise_C)] *= (user_D @ user_D) / len(user_D)
        lengths[len(surprise_C) :] *= (pull_D @ pull_D) / len(pull_D)
        sums = squares[rows] + lengths
        along *= -self._config.rate / np.sqrt(sums)
        own_CD += along[: len(surprise_C), None] * user_D
        of_history_HD += along[len(surprise_C) :, None] * pull_D
        self._factors.put_rows(rows, of_rows)
        self._squares.put_many(rows, sums)

    def _shares(self, num: int) -> NDArray[np.float32]:
        weights = self._weights[:num]
        shares: NDArray[np.float32] = weights / weights.sum()
        return shares

    def _drawn(self, others: set[int]) -> dict[int, int]:
        """What is drawn for the next action but for `others`, and how often."""
        size = self._config.num_drawn_from
        begin = (self._num_actions.cells[0] * _SPREADING % _WORD) * size // _WORD
        drawn: dict[int, int] = {}
        for code in self._code.values[(self._places + begin) % size].tolist():
            if code not in others:
                drawn[code] = drawn.get(code, 0) + 1
        return drawn

    def _remember(self, code: int) -> None:
        number = self._num_actions.cells[0]
        self._code.put(number % self._config.num_drawn_from, code)
        self._num_actions.put(0, number + 1)

    def _begin(self, code: int) -> None:
        """Items that are all alike would stay so: the first factors are drawn by the row."""
        width = self._config.num_factors
        drawn_D = uniform(_SEED, _STREAM, np.arange(code * width, (code + 1) * width))
        self._factors.put_rows(code, (_SPREAD * (2 * drawn_D - 1)).astype(np.float32))
        self._squares.put(code, _FIRST_SQUARES)

    def drop(self, retired: NDArray[np.integer]) -> None:
        """Forgets retired items."""
        self.table.clear_rows(retired)
        places = np.flatnonzero(np.isin(self._code.values, retired))
        self._code.put_many(places, np.full(places.size, _NO_ITEM, np.int32))
