"""What do the chances of policies and the clicks of a log add up to?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from models.policies.off_policy import LoggedSlots, Terms, doubly_robust, ips, on_log, snips
from models.policies.off_policy_intervals import (
    Interval,
    bootstrap_intervals,
    weight_report,
)
from streams.evaluation.off_policy_result import Bounds, PolicyEstimate, PolicyRun, Weights

Estimator = Literal["ips", "snips", "dr"]
ESTIMATORS: Final[tuple[Estimator, ...]] = ("ips", "snips", "dr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimation:
    """How estimates are made.

    Attributes:
        estimators: Which.
        clip: At which weights are clipped; None for not at all.
        level: Of the intervals, percentiles of bootstrap samples of users.
        seed: Of the samples.
    """

    estimators: tuple[Estimator, ...] = ESTIMATORS
    clip: float | None = None
    level: float = 0.95
    seed: int = 7


@dataclass(frozen=True, slots=True)
class JudgedSlate:
    """An evaluated impression of K items, with what each policy would have made of it.

    Attributes:
        propensities: float64[K], as logged.
        targets: By policy float64[K], the chance of each item at its position.
        of_logged: float64[K], the reward that the model of doubly robust expects of each.
        of_target: By policy float64[K], and of what it would show in its place.
    """

    propensities: npt.NDArray[np.float64]
    targets: dict[str, npt.NDArray[np.float64]]
    of_logged: npt.NDArray[np.float64]
    of_target: dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class AnsweredSlate:
    """The same with its clicks.

    Attributes:
        user: A number of the user's.
        slate: What was shown.
        rewards: float64[K].
    """

    user: int
    slate: JudgedSlate
    rewards: npt.NDArray[np.float64]


def logged_estimate(answered: Sequence[AnsweredSlate], how: Estimation) -> PolicyEstimate:
    """Return what the logging policy earned, clicks per slot."""
    rewards = _joined([one.rewards for one in answered])
    (found,) = _estimates([_mean(rewards)], _mean(rewards), _clusters(answered), how)
    return found


def policy_run(policy: str, answered: Sequence[AnsweredSlate], how: Estimation) -> PolicyRun:
    """Return what one policy would have earned.

    Raises:
        OffPolicyRefused: The log cannot tell.
    """
    slates = [one.slate for one in answered]
    log = LoggedSlots(
        rewards=_joined([one.rewards for one in answered]),
        propensities=_joined([one.propensities for one in slates]),
        targets=_joined([one.targets[policy] for one in slates]),
        clusters=_clusters(answered),
    )
    terms: dict[Estimator, Terms] = {
        "ips": ips(log, clip=how.clip),
        "snips": snips(log, clip=how.clip),
        "dr": doubly_robust(
            log,
            of_logged=_joined([one.of_logged for one in slates]),
            of_target=_joined([one.of_target[policy] for one in slates]),
            clip=how.clip,
        ),
    }
    chosen = [terms[name] for name in how.estimators]
    found = _estimates(chosen, on_log(log), log.clusters, how)
    weights = weight_report(log, clip=how.clip, level=how.level)
    return PolicyRun(
        estimates=dict(zip(how.estimators, found, strict=True)),
        weights=Weights(
            mean=weights.mean,
            mean_interval=_bounds(weights.mean_interval),
            largest=weights.largest,
            effective_slots=weights.effective_slots,
            effective_rewards=weights.effective_rewards,
            clipped=weights.num_clipped,
        ),
        warnings=weights.warnings(),
    )


def _estimates(
    estimates: Sequence[Terms], base: Terms, clusters: npt.NDArray[np.int64], how: Estimation
) -> list[PolicyEstimate]:
    intervals = bootstrap_intervals(
        estimates,
        base,
        clusters,
        generator=np.random.default_rng(how.seed),
        level=how.level,
    )
    return [
        PolicyEstimate(
            value=terms.value,
            interval=_bounds(one.value),
            difference=terms.value - base.value,
            difference_interval=_bounds(one.difference),
        )
        for terms, one in zip(estimates, intervals, strict=True)
    ]


def _mean(rewards: npt.NDArray[np.float64]) -> Terms:
    return Terms(rewards, np.ones_like(rewards))


def _clusters(answered: Sequence[AnsweredSlate]) -> npt.NDArray[np.int64]:
    users = np.array([one.user for one in answered], np.int64)
    return np.repeat(users, [len(one.rewards) for one in answered])


def _joined(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.empty(0), *parts])


def _bounds(interval: Interval) -> Bounds:
    low, high = (bound if math.isfinite(bound) else None for bound in interval)
    return Bounds(low=low, high=high)
