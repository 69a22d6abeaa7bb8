"""How likely does each candidate stand at each place of a list that a policy draws?

An estimate from logged propensities needs these chances of the policy to be evaluated. Under the
item-position model (models/policies/off_policy.py) they are all that matters of it.

Shape letters: N candidates, K places, G points of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from models.ranking import best_first

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEP: Final = 0.25
"""Of the grid in log time; halving it changes no chance by more than 1e-9 (a test compares)."""
_EARLIEST: Final = 25.0
_LATEST: Final = 4.0
"""Beyond e^-25 of the first arrival's time and e^4 of the last's, nothing arrives."""
_CERTAIN: Final = 40.0
"""Odds of e^40 are as good as any larger ones, which would need a longer grid."""
_CHUNK: Final = 256


class DrawnList(Protocol):
    """A policy that orders candidates by a ranker's scores."""

    def chances(self, scores: NDArray[np.float64], num_places: int) -> NDArray[np.float64]:
        """float64[K, N]; a row adds up to 1, or to 0 where there are fewer candidates."""


@dataclass(frozen=True, slots=True)
class Greedy:
    """The best first, always; equal scores keep the candidates' order.

    >>> Greedy().chances(np.array([1.0, 3.0, 2.0]), 2).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def chances(self, scores: NDArray[np.float64], num_places: int) -> NDArray[np.float64]:
        """See `DrawnList`."""
        chances_KN = np.zeros((num_places, len(scores)))
        best = best_first(scores)[:num_places]
        chances_KN[np.arange(len(best)), best] = 1.0
        return chances_KN


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """With chance `epsilon` the whole list is a random one, otherwise the best first.

    >>> EpsilonGreedy(0.25).chances(np.array([1.0, 3.0]), 2).tolist()
    [[0.125, 0.875], [0.875, 0.125]]
    """

    epsilon: float

    def __post_init__(self) -> None:
        """Refuse what is no chance.

        Raises:
            ValueError: It is not from 0 to 1.
        """
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"found epsilon {self.epsilon}, expected a chance from 0 to 1")

    def chances(self, scores: NDArray[np.float64], num_places: int) -> NDArray[np.float64]:
        """See `DrawnList`."""
        chances_KN = (1 - self.epsilon) * Greedy().chances(scores, num_places)
        if len(scores):
            chances_KN[: len(scores)] += self.epsilon / len(scores)
        return chances_KN


@dataclass(frozen=True, slots=True)
class PlackettLuce:
    """Place after place, one of those left is drawn with odds exp(score / `temperature`).

    Plackett, "The Analysis of Permutations", 1975. Equal to sorting by score plus `temperature`
    times Gumbel noise. The chances are exact but for rounding: an item of rate r arrives at an
    exponential time, and stands at place k if k - 1 others came before it, so its chance there is
    an integral over that time, which the trapezoid rule in log time has to nine digits. Costs
    about G * N * K^2 operations.

    >>> PlackettLuce(1.0).chances(np.log([2.0, 1.0, 1.0]), 2).round(6).tolist()
    [[0.5, 0.25, 0.25], [0.333333, 0.333333, 0.333333]]
    """

    temperature: float

    def __post_init__(self) -> None:
        """Refuse what gives no odds.

        Raises:
            ValueError: It is not above 0.
        """
        if not 0 < self.temperature < np.inf:
            raise ValueError(
                f"found temperature {self.temperature}, expected a number above 0: for none, take "
                "the best first"
            )

    def chances(self, scores: NDArray[np.float64], num_places: int) -> NDArray[np.float64]:
        """See `DrawnList`."""
        num = len(scores)
        chances_KN = np.zeros((num_places, num))
        if not num or not num_places:
            return chances_KN
        logits = scores / self.temperature
        places = min(num_places, num)
        if places == 1:
            odds = np.exp(logits - logits.max())
            chances_KN[0] = odds / odds.sum()
            return chances_KN
        log_rates = squeezed(logits, places)
        log_times = np.arange(
            -np.logaddexp.reduce(log_rates) - _EARLIEST, _LATEST - log_rates.min(), _STEP
        )
        for start in range(0, len(log_times), _CHUNK):
            chances_KN[:places] += _arrivals(log_rates, log_times[start : start + _CHUNK], places)
        chances_KN *= _STEP
        # What the grid leaves out, about 1e-9.
        chances_KN[:places] /= chances_KN[:places].sum(axis=1, keepdims=True)
        return chances_KN


def squeezed(logits: NDArray[np.float64], num_places: int) -> NDArray[np.float64]:
    """The logits with gaps that decide for certain narrowed, and the hopeless brought near.

    Args:
        logits: float64[N].
        num_places: The first so many by logit may matter; what is below them is hopeless.
    """
    order = best_first(logits)
    falling = logits[order]
    gaps = np.minimum(-np.diff(falling), _CERTAIN)
    narrowed = np.concatenate(([0.0], -np.cumsum(gaps)))
    log_rates = np.empty_like(logits)
    log_rates[order] = np.maximum(narrowed, narrowed[num_places - 1] - _CERTAIN)
    return log_rates


def _arrivals(
    log_rates: NDArray[np.float64], log_times: NDArray[np.float64], num_places: int
) -> NDArray[np.float64]:
    """Density at which each item arrives as the k-th, summed over the grid, float64[K, N]."""
    waits_NG = np.exp(log_rates[:, None] + log_times)
    absent_NG, arrived_NG = np.exp(-waits_NG), -np.expm1(-waits_NG)
    before_NKG = _counts(absent_NG, arrived_NG, num_places)
    after_NKG = _counts(absent_NG[::-1], arrived_NG[::-1], num_places)[::-1]
    density_NG = waits_NG * absent_NG
    chances_KN = np.empty((num_places, len(log_rates)))
    for place in range(num_places):
        others_NG = np.einsum(
            "nkg,nkg->ng", before_NKG[:, : place + 1], after_NKG[:, place::-1], optimize=False
        )
        chances_KN[place] = np.einsum("ng,ng->n", density_NG, others_NG)
    return chances_KN


def _counts(
    absent_NG: NDArray[np.float64], arrived_NG: NDArray[np.float64], num_places: int
) -> NDArray[np.float64]:
    """Chance that k of the items before each one have arrived, for k below K, float64[N, K, G]."""
    num, points = absent_NG.shape
    counts_NKG = np.zeros((num, num_places, points))
    counts_NKG[0, 0] = 1.0
    for item in range(num - 1):
        counts_NKG[item + 1] = counts_NKG[item] * absent_NG[item]
        counts_NKG[item + 1, 1:] += counts_NKG[item, :-1] * arrived_NG[item]
    return counts_NKG
