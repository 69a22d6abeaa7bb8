"""How good are ranks, and how good are probabilities? Metrics with worked examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streams.evaluation_result import Ranked

_MIN_P = 1e-12


def ranked_metrics(ranks: Sequence[int]) -> Ranked:
    """Return the means over all actions of what their item's rank is worth.

    Args:
        ranks: Place of the item in the list, from 1; 0 where it was not there. There is one
            relevant item, so the ideal DCG is 1 and nDCG is 1 / log2(1 + rank).

    >>> ranked_metrics([1, 3, 15, 0])
    Ranked(hr_10=0.5, hr_20=0.75, ndcg_10=0.375, mrr_20=0.35)
    """
    if not ranks:
        return Ranked()
    rank = np.array(ranks, np.float64)
    within_10, within_20 = _within(rank, 10), _within(rank, 20)
    gains = np.where(within_10, 1 / np.log2(1 + np.maximum(rank, 1)), 0.0)
    reciprocals = np.where(within_20, 1 / np.maximum(rank, 1), 0.0)
    return Ranked(
        hr_10=float(within_10.mean()),
        hr_20=float(within_20.mean()),
        ndcg_10=float(gains.mean()),
        mrr_20=float(reciprocals.mean()),
    )


def rank_among(scores: npt.NDArray[np.floating], index: int) -> int:
    """Return the place of one item when all are ordered by score; 0 if it has none (NaN).

    Ties go to the earlier item, as a stable sort does.

    >>> rank_among(np.array([0.5, 0.9, 0.5, np.nan]), 2), rank_among(np.array([0.5, np.nan]), 1)
    (3, 0)
    """
    score = scores[index]
    if np.isnan(score):
        return 0
    return 1 + int((scores > score).sum()) + int((scores[:index] == score).sum())


def log_loss(p: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float:
    """Return the mean log loss in nats.

    >>> round(log_loss(np.array([0.8, 0.4]), np.array([True, False])), 4)
    0.367
    """
    of_answer = np.where(labels, p, 1 - p)
    return float(-np.log(np.maximum(of_answer, _MIN_P)).mean())


def normalised_entropy(p: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float | None:
    """Return the log loss over the entropy of the base rate; None without both classes.

    He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook" (2014), section 3.

    >>> normalised_entropy(np.array([0.5, 0.5]), np.array([True, False]))
    1.0
    """
    rate = float(labels.mean()) if len(labels) else 0.0
    if not 0 < rate < 1:
        return None
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    return float(log_loss(p, labels) / entropy)


def area_under_curve(
    scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]
) -> float | None:
    """Return the probability that a positive scores above a negative, ties half.

    None without both classes.

    >>> area_under_curve(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
    0.875
    """
    num_positive = int(labels.sum())
    num_negative = len(labels) - num_positive
    if not num_positive or not num_negative:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    above = float(mean_ranks[inverse][labels].sum()) - num_positive * (num_positive + 1) / 2
    return above / (num_positive * num_negative)


def reciprocal_rank(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float:
    """Return 1 / place of the best-placed positive; items of one score share their mean place.

    >>> reciprocal_rank(np.array([0.9, 0.2, 0.2]), np.array([False, True, False]))
    0.4
    """
    best = scores[labels].max()
    return float(1 / ((scores > best).sum() + ((scores == best).sum() + 1) / 2))


def calibration(p: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float | None:
    """Return the sum of probabilities over the number of positives; None without any.

    >>> calibration(np.array([0.5, 0.7]), np.array([True, False]))
    1.2
    """
    num_positive = int(labels.sum())
    return float(p.sum()) / num_positive if num_positive else None


def _within(rank: npt.NDArray[np.float64], cut: int) -> npt.NDArray[np.bool_]:
    within: npt.NDArray[np.bool_] = (rank > 0) & (rank <= cut)
    return within
