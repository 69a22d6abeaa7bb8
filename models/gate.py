"""May a new bundle take the place of the one in use?

Both are scored on the same targets, newer than the training data of either: held-out actions, or
live ones in the lists that each would have made. They are compared target by target: the mean
difference of their scores, reciprocal ranks or log scores, with a bootstrap interval over users,
whose targets are not independent (Efron & Tibshirani 1993, percentile interval). A bundle that does
not lose replaces an older one, because it knows what is newer.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Scores: TypeAlias = npt.NDArray[np.float64]


class Decision(StrEnum):
    """What the gate says."""

    PROMOTE = "promote"
    KEEP = "keep"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """When a comparison counts.

    Attributes:
        min_targets: fewer targets decide nothing.
        num_resamples: of the bootstrap.
        confidence: of the interval.
        tolerance: a loss that may be smaller than this is none; in the unit of the scores.
        seed: of the resampling.
    """

    min_targets: int = 200
    num_resamples: int = 1_000
    confidence: float = 0.95
    tolerance: float = 0.0
    seed: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision and its grounds.

    Attributes:
        decision: promote the candidate, keep the one in use, or too little to decide.
        reason: for a person.
        candidate: mean score of the candidate.
        incumbent: of the one in use; None without one.
    """

    decision: Decision
    reason: str
    candidate: float
    incumbent: float | None


def judge(
    candidate_P: Scores,
    incumbent_P: Scores | None,
    user_P: npt.NDArray[np.uint64],
    config: GateConfig,
    *,
    targets: str = "held-out actions",
    measure: str = "MRR",
) -> Verdict:
    """Compare two bundles on how well they placed the same P targets.

    Args:
        candidate_P: scores of the new bundle, the higher the better: reciprocal ranks, say.
        incumbent_P: of the one in use; None where there is none: then the new one is taken.
        user_P: whose target each is.
        config: when a comparison counts.
        targets: what they are, for the reason.
        measure: what the mean of the scores is called there.

    >>> users = np.arange(400, dtype=np.uint64)
    >>> firsts, tenths = np.full(400, 1.0), np.full(400, 0.1)
    >>> judge(tenths, firsts, users, GateConfig()).decision
    <Decision.KEEP: 'keep'>
    >>> judge(firsts, tenths, users, GateConfig()).decision
    <Decision.PROMOTE: 'promote'>
    """
    num_targets = len(candidate_P)
    score = float(candidate_P.mean()) if num_targets else 0.0
    if incumbent_P is None:
        return Verdict(
            decision=Decision.PROMOTE,
            reason=f"the first bundle; {measure} {score:.4f} on {num_targets} {targets}",
            candidate=score,
            incumbent=None,
        )
    other = float(incumbent_P.mean()) if num_targets else 0.0
    if num_targets < config.min_targets:
        return Verdict(
            decision=Decision.UNDECIDED,
            reason=f"{num_targets} {targets}, {config.min_targets} are needed",
            candidate=score,
            incumbent=other,
        )
    low, high = _interval(candidate_P - incumbent_P, user_P, config)
    decision = Decision.KEEP if high < -config.tolerance else Decision.PROMOTE
    reason = (
        f"{measure} {score:.4f} against {other:.4f} on {num_targets} {targets}: difference "
        f"{score - other:+.4f}, {100 * config.confidence:.4g} % interval {low:+.4f} to {high:+.4f}"
    )
    return Verdict(decision=decision, reason=reason, candidate=score, incumbent=other)


def _interval(
    difference_P: npt.NDArray[np.float64], user_P: npt.NDArray[np.uint64], config: GateConfig
) -> tuple[float, float]:
    """Return the percentile interval of the mean difference, resampling users."""
    _, user_of_P = np.unique(user_P, return_inverse=True)
    sum_U = np.bincount(user_of_P, weights=difference_P)
    size_U = np.bincount(user_of_P)
    generator = np.random.default_rng(config.seed)
    means = np.empty(config.num_resamples)
    for resample in range(config.num_resamples):
        drawn = generator.integers(len(sum_U), size=len(sum_U))
        means[resample] = sum_U[drawn].sum() / size_U[drawn].sum()
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
