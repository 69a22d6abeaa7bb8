"""Which item does this user choose? One online Bayesian regression, of what is shown and done.

The utility of an item is a sum of cells: its appeal, the user's taste for its category, how its
category follows the last one, … Two kinds of observation teach it:

- a slate that was shown: every item was opened or not, a logistic observation with the position's
  cell and a bias added;
- an action that no slate led to: the item was preferred to others on offer, of which a sample is
  given; a softmax observation, which says nothing about how often anybody acts.

Every cell has a Gaussian belief. An observation moves each in proportion to its variance (assumed
density filtering: Graepel et al., Web-Scale Bayesian CTR Prediction, ICML 2010; Opper, 1998), so
that a new item is learned from its first few clicks while what thousands of clicks have taught
stays where it is. That is the difference to FTRL, whose steps are the same for both. A step ends
where belief and observation balance (an implicit step: Toulis and Airoldi, 2017): a click on what
nobody was expected to open would overshoot, if the slope were taken where the step begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.online.columns import ColumnSpec
from models.online.ftrl import sigmoid
from models.online.tables import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEWTON_STEPS = 6
_TINY = 1e-12


class Prior(NamedTuple):
    """What is believed of each cell before anything is learned.

    Attributes:
        means: float64[cells].
        variances: float64[cells].
        min_variances: float64[cells], below which learning never brings them: cells that drift are
            never certain.
        position_offset: The cell of position 0; those of the further positions follow, and the
            last cell of all is the bias.
        num_positions: How many positions have a cell.
        num_pulled: So many of the last columns are weighted by the pull.
    """

    means: NDArray[np.float64]
    variances: NDArray[np.float64]
    min_variances: NDArray[np.float64]
    position_offset: int
    num_positions: int
    num_pulled: int


class ChoiceHead:
    """The utilities of items; tables as everywhere on the seconds clock."""

    def __init__(self, prior: Prior, *, meaning: str) -> None:
        """Starts from the prior.

        Args:
            prior: See there.
            meaning: Digest of what the cells mean; payloads of another one are refused.
        """
        self._prior = prior
        self._precisions = 1.0 / prior.variances
        self._max_evidence = 1.0 / prior.min_variances - self._precisions
        self._bias = len(prior.variances) - 1
        self._open = np.ones(len(prior.variances))
        # What was gained over the prior, so that a cell of which nothing is known is all zeros.
        self.table = Table(
            "choice",
            [
                ColumnSpec(name="moved", dtype="float64"),
                ColumnSpec(name="evidence", dtype="float64"),
            ],
            meaning=meaning,
        )
        self.table.grow(len(prior.variances))
        self._moved = self.table.columns["moved"]
        self._evidence = self.table.columns["evidence"]

    def utilities(
        self, indices: NDArray[np.integer], pulls: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Utility of each item in log-odds: int[N, C] and float[N] give float64[N]."""
        num_pulled = self._prior.num_pulled
        utilities: NDArray[np.float64] = self._values(indices[:, :-num_pulled]).sum(axis=1)
        utilities += self._values(indices[:, -num_pulled:]).sum(axis=1) * pulls
        return utilities

    def learn_shown(
        self,
        indices: NDArray[np.integer],
        pulls: NDArray[np.floating],
        positions: NDArray[np.integer],
        labels: NDArray[np.bool_],
    ) -> None:
        """Takes a slate whose answer is final.

        Args:
            indices: int[N, C].
            pulls: float[N].
            positions: int[N], where each item was shown.
            labels: bool[N], which were opened.
        """
        if not len(labels):
            return
        prior = self._prior
        place = prior.position_offset + np.clip(positions, 0, prior.num_positions - 1)
        bias = np.full(len(labels), self._bias)
        cells = np.column_stack([place, bias, indices])
        inputs = self._inputs(cells.shape, pulls)
        self._step(cells, inputs, (self._values(cells) * inputs).sum(axis=1), labels)

    def learn_choice(self, indices: NDArray[np.integer], pulls: NDArray[np.floating]) -> None:
        """Takes an action that no slate led to.

        Args:
            indices: int[N, C] of the item that was acted upon, first, and of others on offer.
            pulls: float[N].
        """
        if len(indices) < 2:
            return
        inputs = self._inputs(indices.shape, pulls)
        utilities = (self._values(indices) * inputs).sum(axis=1)
        weights = np.exp(utilities - utilities.max())
        # The log-odds of each against all the others.
        chances = np.clip(weights / weights.sum(), _TINY, 1.0 - _TINY)
        is_chosen = np.arange(len(indices)) == 0
        self._step(indices, inputs, np.log(chances / (1.0 - chances)), is_chosen)

    def _values(self, cells: NDArray[np.integer]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self._prior.means[cells] + self._moved.values[cells]
        return values

    def _inputs(self, shape: tuple[int, ...], pulls: NDArray[np.floating]) -> NDArray[np.float64]:
        inputs = np.ones(shape)
        inputs[:, -self._prior.num_pulled :] = pulls[:, None]
        return inputs

    def _step(
        self,
        cells: NDArray[np.integer],
        inputs: NDArray[np.float64],
        logits: NDArray[np.float64],
        labels: NDArray[np.bool_],
    ) -> None:
        """Updates the beliefs by N observations at once; all see the beliefs before.

        Args:
            cells: int[N, C], those that each observation sums up.
            inputs: float64[N, C], their weights in the sum.
            logits: float64[N], the log-odds of each observation before it.
            labels: bool[N], what was seen.
        """
        evidence, flat = self._evidence.values, cells.ravel()
        variances = 1.0 / (self._precisions[cells] + evidence[cells])
        shares = variances * inputs
        spreads = shares * inputs
        spread_N = spreads.sum(axis=1)
        chances = sigmoid(balanced(logits, spread_N, labels))
        errors = labels - sigmoid(logits)
        # By how much its own balance damps each observation; all that a cell's observations leave
        # open damps its step, or cells that a whole slate shares would take it once an item.
        open_N = errors / (labels - chances) - 1.0
        self._open[flat] = 1.0
        np.add.at(self._open, flat, np.repeat(open_N, cells.shape[1]))
        moves = (shares * errors[:, None]).ravel() / self._open[flat]
        np.add.at(self._moved.values, flat, moves)
        curvature = (chances * (1.0 - chances))[:, None]
        others = spread_N[:, None] - spreads
        gained = curvature * inputs * inputs / (1.0 + curvature * others)
        np.add.at(evidence, flat, gained.ravel())
        evidence[flat] = np.minimum(evidence[flat], self._max_evidence[flat])
        self._moved.mark(flat)
        self._evidence.mark(flat)


def balanced(
    logits: NDArray[np.float64], spreads: NDArray[np.float64], labels: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the log-odds at which what was believed and what was seen balance.

    That is the mode: z = logit + spread * (label - chance(z)).

    Args:
        logits: float64[N], believed.
        spreads: float64[N], their variances.
        labels: bool[N], seen.
    """
    bounds = logits + spreads * labels
    balance = np.zeros(len(logits))
    # From the inflection on, Newton's steps stay on one side of the mode.
    for _ in range(_NEWTON_STEPS):
        chances = sigmoid(balance)
        slopes = 1.0 + spreads * chances * (1.0 - chances)
        balance -= (balance - bounds + spreads * chances) / slopes
    return balance
