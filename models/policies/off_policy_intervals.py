"""Between which values does an estimate from logged propensities lie, and may it be believed?

Slots of one user are not independent: users, clusters of slots, are what is counted and drawn.

Shape letters: N slots of C clusters, E estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from models.policies.off_policy import Terms, clipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.policies.off_policy import LoggedSlots

MIN_EFFECTIVE_SLOTS: Final = 100
"""Below so many slots that count, intervals are not to be trusted."""

MIN_EFFECTIVE_REWARDS: Final = 20
"""Nor below so many rewards: of none at all, an interval of no width says 0 for certain."""


class Interval(NamedTuple):
    """Between which values the truth lies, at the level asked for."""

    low: float
    high: float


def normal_interval(terms: Terms, clusters: NDArray[np.int64], *, level: float = 0.95) -> Interval:
    """By the central limit, over clusters; for ratios by the delta method.

    It needs many clusters, and fails where few weights make up the sum: see `WeightReport`. A
    single cluster bounds nothing.

    >>> mean = Terms(np.array([2.0, 0.0, 1.0, 0.0]), np.ones(4))
    >>> low, high = normal_interval(mean, np.arange(4))
    >>> round(low, 3), round(high, 3)  # 0.75 -+ 1.96 * 0.479
    (-0.188, 1.688)
    """
    return _normal(terms.value, _influences(terms, clusters), level)


class Intervals(NamedTuple):
    """Of an estimate, and of how much it is above another one of the same slots."""

    value: Interval
    difference: Interval


def bootstrap_intervals(
    estimates: Sequence[Terms],
    base: Terms,
    clusters: NDArray[np.int64],
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    num_resamples: int = 1000,
) -> list[Intervals]:
    """Percentile intervals; whole clusters are drawn, the same ones for all estimates.

    Args:
        estimates: Of the same slots.
        base: With what each is compared, on the same draws.
        clusters: int64[N].
        generator: Source of the draws.
        level: Coverage.
        num_resamples: Draws.
    """
    sums = [_by_cluster(terms, clusters) for terms in (base, *estimates)]
    numerators_EC, denominators_EC = (np.stack(part) for part in zip(*sums, strict=True))
    num_clusters = numerators_EC.shape[1]
    values = np.empty((num_resamples, len(sums)))
    for resample in range(num_resamples):
        drawn = generator.integers(0, num_clusters, num_clusters)
        counts = np.bincount(drawn, minlength=num_clusters).astype(np.float64)
        below = denominators_EC @ counts
        # Where none of the clusters drawn has any weight the estimate says nothing, which is not 0.
        below[below == 0] = np.nan
        values[resample] = numerators_EC @ counts / below
    return [
        Intervals(
            _percentiles(values[:, column], level),
            _percentiles(values[:, column] - values[:, 0], level),
        )
        for column in range(1, len(sums))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightReport:
    """Whether the weights carry an estimate.

    Attributes:
        num_slots: N.
        mean: Of the weights as they are; 1 in expectation if the target policy does nothing that
            the logging policy could not, fills every slot, and the propensities are right.
        mean_interval: Of that mean.
        largest: The largest weight before clipping.
        effective_slots: (sum w)^2 / sum w^2 of the weights as used (Kish, "Survey Sampling", 1965):
            so many slots of equal weight would tell as much.
        effective_rewards: The same of weight times reward: so many clicks make up the estimate.
        clip: At which weights were clipped; None for not at all.
        num_clipped: How many were.
    """

    num_slots: int
    mean: float
    mean_interval: Interval
    largest: float
    effective_slots: float
    effective_rewards: float
    clip: float | None
    num_clipped: int

    def warnings(self) -> list[str]:
        """What a reader of the estimates must know."""
        told = []
        if self.effective_slots < MIN_EFFECTIVE_SLOTS:
            told.append(
                f"the effective sample size is {self.effective_slots:.1f} of {self.num_slots} "
                f"slots, expected at least {MIN_EFFECTIVE_SLOTS}: a few weights decide, and the "
                "intervals are too narrow. Evaluate a policy nearer to the logged one, or log more"
            )
        if self.effective_rewards < MIN_EFFECTIVE_REWARDS:
            told.append(
                f"{self.effective_rewards:.1f} rewards, effectively, make up the estimate, "
                f"expected at least {MIN_EFFECTIVE_REWARDS}: what one more would have changed is "
                "not in the intervals. Log more"
            )
        low, high = self.mean_interval
        if not low <= 1.0 <= high:
            told.append(
                f"the mean weight is {self.mean:.3f} (from {low:.3f} to {high:.3f}), expected 1: "
                "the policy may show what was never logged, leaves slots empty, or propensities "
                "are wrong. IPS and DR then tell less than the whole, SNIPS of the logged part"
            )
        if self.num_clipped:
            told.append(
                f"{self.num_clipped} of {self.num_slots} weights were clipped at {self.clip:g}: "
                "estimates are biased towards what the logging policy did"
            )
        return told


def weight_report(
    log: LoggedSlots, *, clip: float | None = None, level: float = 0.95
) -> WeightReport:
    """Look at the weights before believing an estimate.

    >>> from models.policies.off_policy import LoggedSlots
    >>> chances, targets = np.array([0.25, 0.5, 0.5, 0.25]), np.array([0.5, 0.25, 0.5, 0.0])
    >>> log = LoggedSlots(
    ...     rewards=np.ones(4), propensities=chances, targets=targets, clusters=np.arange(4)
    ... )
    >>> report = weight_report(log)
    >>> report.mean, report.largest, round(report.effective_slots, 3)  # 3.5 ** 2 / 5.25
    (0.875, 2.0, 2.333)
    >>> round(report.effective_rewards, 3)  # every slot has the reward 1
    2.333
    """
    weights = log.weights
    used = clipped(weights, clip)
    terms = Terms(weights, np.ones_like(weights))
    return WeightReport(
        num_slots=len(weights),
        mean=terms.value,
        mean_interval=normal_interval(terms, log.clusters, level=level),
        largest=float(weights.max()),
        effective_slots=_kish(used),
        effective_rewards=_kish(used * log.rewards),
        clip=clip,
        num_clipped=0 if clip is None else int((weights > clip).sum()),
    )


def _kish(weights: NDArray[np.float64]) -> float:
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _percentiles(values: NDArray[np.float64], level: float) -> Interval:
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _influences(terms: Terms, clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """By how much each cluster moves the estimate, float64[C]."""
    numerators, denominators = _by_cluster(terms, clusters)
    influences: NDArray[np.float64] = numerators - terms.value * denominators
    influences /= denominators.sum()
    return influences


def _normal(value: float, influences: NDArray[np.float64], level: float) -> Interval:
    num = len(influences)
    if num < 2:
        return Interval(-np.inf, np.inf)
    error = float(np.sqrt(num / (num - 1) * (influences**2).sum()))
    half = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(value - half, value + half)


def _by_cluster(
    terms: Terms, clusters: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of both over each cluster's slots, float64[C]."""
    names, cluster = np.unique(clusters, return_inverse=True)
    numerators, denominators = np.zeros(len(names)), np.zeros(len(names))
    np.add.at(numerators, cluster, terms.numerators)
    np.add.at(denominators, cluster, terms.denominators)
    return numerators, denominators
