"""How good were lists and click predictions? Offline metrics, each over what was said beforehand.

Lists: a *rank* is the place of the item that the user acted on in the list, 1 for the first, and
`MISS` where the list did not have it; every metric divides by all ranks, misses included.
Clicks: probabilities are those predicted before the label was learned (progressive validation).
A metric of nothing is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MISS = 0
"""Rank of an item that is not in the list."""

_EPSILON = 1e-12


def hit_rate(ranks: NDArray[np.integer], k: int) -> float | None:
    """Share of actions whose item was among the first k.

    >>> hit_rate(np.array([1, 3, 11, MISS]), k=10)
    0.5
    """
    return None if not len(ranks) else float(_within(ranks, k).mean())


def ndcg(ranks: NDArray[np.integer], k: int) -> float | None:
    """Mean of 1 / log2(1 + rank) within the first k: the only relevant item's discounted gain.

    >>> ndcg(np.array([1, 3, 11, MISS]), k=10)  # (1 + 1/2 + 0 + 0) / 4
    0.375
    """
    gains = np.where(_within(ranks, k), 1 / np.log2(1 + np.maximum(ranks, 1)), 0.0)
    return None if not len(ranks) else float(gains.mean())


def mean_reciprocal_rank(ranks: NDArray[np.integer], k: int) -> float | None:
    """Mean of 1 / rank within the first k.

    >>> mean_reciprocal_rank(np.array([1, 4, 21, MISS]), k=20)  # (1 + 1/4 + 0 + 0) / 4
    0.3125
    """
    reciprocals = np.where(_within(ranks, k), 1 / np.maximum(ranks, 1), 0.0)
    return None if not len(ranks) else float(reciprocals.mean())


def _within(ranks: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    within: NDArray[np.bool_] = (ranks != MISS) & (ranks <= k)
    return within


def log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> float | None:
    """Mean of -log of what was given to the outcome, in nats.

    >>> round(log_loss(np.array([0.5, 0.25]), np.array([True, False])), 4)  # (.6931 + .2877) / 2
    0.4904
    """
    if not len(labels):
        return None
    p = np.clip(probabilities, _EPSILON, 1 - _EPSILON)
    return float(-np.where(labels, np.log(p), np.log1p(-p)).mean())


def normalised_entropy(
    probabilities: NDArray[np.float64], labels: NDArray[np.bool_]
) -> float | None:
    """Log-loss as a share of that of always predicting the labels' own rate; below 1 is better.

    He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", 2014. None where all
    labels are alike.

    >>> labels = np.array([True, False, False, False])
    >>> normalised_entropy(np.full(4, 0.25), labels)
    1.0
    """
    rate = np.full(len(labels), labels.mean() if len(labels) else 0.0)
    baseline, loss = log_loss(rate, labels), log_loss(probabilities, labels)
    if loss is None or baseline is None or not labels.any() or labels.all():
        return None
    return loss / baseline


def auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float | None:
    """Chance that a clicked item scores above one that was not, ties counting half.

    >>> auc(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]))  # (4 - 1/2) / 4
    0.875
    """
    num_clicked = int(labels.sum())
    num_others = len(labels) - num_clicked
    if not num_clicked or not num_others:
        return None
    _, tie, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    # Mean rank of each group of equal scores, from 1.
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[tie]
    above = ranks[labels].sum() - num_clicked * (num_clicked + 1) / 2
    return float(above / (num_clicked * num_others))


def calibration(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> float | None:
    """Predicted clicks per observed click; 1 is right, above 1 promises too much.

    >>> calibration(np.array([0.5, 0.25, 0.25]), np.array([True, False, False]))
    1.0
    """
    return float(probabilities.sum() / labels.sum()) if labels.any() else None


def slate_reciprocal_rank(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float | None:
    """1 / place of the best clicked item when a slate is ordered by score; None without a click.

    Items of equal score share their mean place, so that a constant is not credited with the order
    in which the slate happened to be shown.

    >>> slate_reciprocal_rank(np.array([0.1, 0.7, 0.2]), np.array([False, False, True]))
    0.5
    >>> slate_reciprocal_rank(np.zeros(3), np.array([True, False, False]))  # places 1, 2, 3
    0.5
    """
    if not labels.any():
        return None
    best = scores[labels].max()
    place = 1 + (scores > best).sum() + ((scores == best).sum() - 1) / 2
    return float(1 / place)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickReport:
    """Quality of click predictions; None where there is nothing to measure."""

    ne: float | None
    auc: float | None
    mrr: float | None
    logloss: float | None
    calibration: float | None
    num_impressions: int
    num_clicks: int


class ClickEvaluation:
    """Collects slates that were predicted and then judged, and reports on all of them."""

    def __init__(self) -> None:
        self._probabilities: list[NDArray[np.float64]] = []
        self._labels: list[NDArray[np.bool_]] = []
        self._reciprocal_ranks: list[float] = []

    def add(self, probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        """Takes one slate: p(click) of each item as predicted, and which were clicked."""
        self._probabilities.append(probabilities)
        self._labels.append(labels)
        reciprocal_rank = slate_reciprocal_rank(probabilities, labels)
        if reciprocal_rank is not None:
            self._reciprocal_ranks.append(reciprocal_rank)

    def report(self) -> ClickReport:
        """Metrics over all slates so far."""
        p = np.concatenate([np.empty(0), *self._probabilities])
        labels = np.concatenate([np.empty(0, dtype=np.bool_), *self._labels])
        ranks = self._reciprocal_ranks
        return ClickReport(
            ne=normalised_entropy(p, labels),
            auc=auc(p, labels),
            mrr=float(np.mean(ranks)) if ranks else None,
            logloss=log_loss(p, labels),
            calibration=calibration(p, labels),
            num_impressions=len(labels),
            num_clicks=int(labels.sum()),
        )


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.floating],
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    num_resamples: int = 1000,
    groups: NDArray[np.integer] | None = None,
) -> tuple[float, float]:
    """Percentile interval of the mean; of a paired difference, if given the differences.

    Args:
        values: One per observation, at least one.
        generator: Source of the resamples.
        level: Coverage.
        num_resamples: Resamples drawn.
        groups: Whose observation each is (a user's): groups are then drawn, not observations.

    >>> bootstrap_interval([2.0, 2.0, 2.0], generator=np.random.default_rng(1))
    (2.0, 2.0)
    """
    of_values = np.asarray(values, dtype=np.float64)
    if not of_values.size:
        raise ValueError("found no values, expected at least one: there is no mean of nothing")
    of_groups = np.arange(of_values.size) if groups is None else groups
    _, group, sizes = np.unique(of_groups, return_inverse=True, return_counts=True)
    sums = np.bincount(group, weights=of_values)
    means = np.empty(num_resamples)
    for resample in range(num_resamples):
        drawn = generator.integers(0, sums.size, sums.size)
        means[resample] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
