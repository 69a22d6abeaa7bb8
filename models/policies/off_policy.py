"""How good would another policy be on what was logged? Estimates from logged propensities.

A *slot* is one item that was shown at one place. Its *propensity* is the chance that the policy
which served had of putting this item at this place, given what it knew of the user; its *target*
is the chance that the policy to be evaluated has of the same. Their ratio is the slot's weight.

What is estimated is the mean reward of a slot if the target policy had filled it (the item-position
model of Li et al., "Offline Evaluation of Ranking Policies with Click Models", 2018): whether an
item is clicked may depend on the user, the item and the place, and on nothing else in the slate.
Effects between the items of a slate cannot be told from chances of single places.

Shape letters: N slots of C clusters (users), A actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from models.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class OffPolicyRefused(ModelError, ValueError):
    """These propensities cannot tell anything about this policy."""


class BadPropensity(OffPolicyRefused):
    """A chance is missing, not finite, or out of its range."""


class NoOverlap(OffPolicyRefused):
    """The policy does what the logging policy never did."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedSlots:
    """What was shown, and what came of it.

    Attributes:
        rewards: float64[N].
        propensities: float64[N], above 0, up to 1.
        targets: float64[N], from 0 to 1.
        clusters: int64[N], whose each is: slots of one user are not independent.
    """

    rewards: NDArray[np.float64]
    propensities: NDArray[np.float64]
    targets: NDArray[np.float64]
    clusters: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what no estimate can be made of.

        Raises:
            BadPropensity: A chance or a reward is none.
            NoOverlap: No slot is one that the target policy could have filled so.
        """
        sizes = {len(self.rewards), len(self.propensities), len(self.targets), len(self.clusters)}
        if len(sizes) > 1:
            raise BadPropensity(f"found columns of {sorted(sizes)} slots, expected equally many")
        if sizes == {0}:
            raise OffPolicyRefused(
                "found no slots, expected at least one: evaluate a part of the log that has "
                "impressions"
            )
        _check_chances("propensity", self.propensities, may_be_zero=False)
        _check_chances("target chance", self.targets, may_be_zero=True)
        if bad := int((~np.isfinite(self.rewards)).sum()):
            raise BadPropensity(
                f"found {bad} of {len(self.rewards)} rewards that are not finite, expected numbers"
            )
        if not self.targets.any():
            raise NoOverlap(
                f"found not one of {len(self.targets)} slots that the target policy could have "
                "filled as it was, expected some: the logging policy never did what this one does. "
                "Evaluate a policy that explores, or log under one that does"
            )

    @property
    def weights(self) -> NDArray[np.float64]:
        """float64[N], how much more often the target policy would have done what was done."""
        ratios: NDArray[np.float64] = self.targets / self.propensities
        return ratios


def check_support(targets_NA: NDArray[np.float64], propensities_NA: NDArray[np.float64]) -> None:
    """Refuse a policy that may do what the logging policy could not, where all chances are known.

    Args:
        targets_NA: Chance of each action under the target policy.
        propensities_NA: The same under the logging policy.

    Raises:
        NoOverlap: Naming the first such slot and action.
    """
    outside_NA = (targets_NA > 0) & ~(propensities_NA > 0)
    if outside_NA.any():
        slot, action = map(int, np.argwhere(outside_NA)[0])
        raise NoOverlap(
            f"found {int(outside_NA.any(axis=1).sum())} of {len(targets_NA)} slots where the "
            "target policy may choose what the logging policy could not (slot "
            f"{slot}, action {action}: {targets_NA[slot, action]:g} against "
            f"{propensities_NA[slot, action]:g}), expected none: no log tells what such a choice "
            "earns. Restrict the target policy to the logged actions, or let the logging one "
            "explore"
        )


class Terms(NamedTuple):
    """An estimate as a ratio of sums over slots, which is what intervals are made of.

    Attributes:
        numerators: float64[N].
        denominators: float64[N].
    """

    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.numerators.sum() / self.denominators.sum())


def on_log(log: LoggedSlots) -> Terms:
    """What the logging policy earned: the plain mean, which tells nothing of the target policy."""
    return Terms(log.rewards, np.ones_like(log.rewards))


def ips(log: LoggedSlots, *, clip: float | None = None) -> Terms:
    """Inverse propensity scoring: mean of weight times reward; unbiased, unless clipped.

    Horvitz and Thompson, "A Generalization of Sampling Without Replacement From a Finite Universe",
    1952.

    Args:
        log: The slots.
        clip: Weights above it count as it: less variance, and a bias towards 0.

    >>> ips(_example).value  # (2 * 1 + 0.5 * 0 + 1 * 1 + 0 * 1) / 4
    0.75
    >>> ips(_example, clip=1.0).value  # (1 * 1 + 0.5 * 0 + 1 * 1 + 0 * 1) / 4
    0.5
    """
    return Terms(clipped(log.weights, clip) * log.rewards, np.ones_like(log.rewards))


def snips(log: LoggedSlots, *, clip: float | None = None) -> Terms:
    """Self-normalised: divided by the weights instead of by their number; a bias that vanishes.

    Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual Learning", 2015.
    Never outside the range of the rewards.

    >>> round(snips(_example).value, 4)  # 3 / (2 + 0.5 + 1 + 0)
    0.8571
    """
    weights = clipped(log.weights, clip)
    return Terms(weights * log.rewards, weights)


def doubly_robust(
    log: LoggedSlots,
    *,
    of_logged: NDArray[np.float64],
    of_target: NDArray[np.float64],
    clip: float | None = None,
) -> Terms:
    """A model's word for the target policy, put right by what was logged.

    Dudik, Langford and Li, "Doubly Robust Policy Evaluation and Learning", 2011. Unbiased if the
    propensities are right, whatever the model says, as long as it has not seen the slot's reward;
    the better it is, the less the variance.

    Args:
        log: The slots.
        of_logged: float64[N], the reward that the model expects of what was shown.
        of_target: float64[N], and of what the target policy would show, the mean by its chances.
        clip: See `ips`.

    >>> of_logged, of_target = np.array([0.5, 0.5, 1.0, 1.0]), np.array([0.5, 0.5, 1.0, 0.0])
    >>> doubly_robust(_example, of_logged=of_logged, of_target=of_target).value
    0.6875
    """
    corrections = clipped(log.weights, clip) * (log.rewards - of_logged)
    return Terms(of_target + corrections, np.ones_like(log.rewards))


def clipped(weights: NDArray[np.float64], clip: float | None) -> NDArray[np.float64]:
    """The weights with none above `clip`."""
    return weights if clip is None else np.minimum(weights, clip)


def _check_chances(name: str, chances: NDArray[np.float64], *, may_be_zero: bool) -> None:
    # Written so that NaN, which compares with nothing, is bad.
    good = (chances >= 0 if may_be_zero else chances > 0) & (chances <= 1)
    if good.all():
        return
    first = int(np.flatnonzero(~good)[0])
    expected = "from 0" if may_be_zero else "above 0"
    raise BadPropensity(
        f"found {int((~good).sum())} of {len(chances)} slots without a usable {name} (slot "
        f"{first}: {chances[first]:g}), expected each {expected}, up to 1: log with every shown "
        "item the chance that it stood at its place"
    )


_example: Final = LoggedSlots(
    rewards=np.array([1.0, 0.0, 1.0, 1.0]),
    propensities=np.array([0.25, 0.5, 0.5, 0.25]),
    targets=np.array([0.5, 0.25, 0.5, 0.0]),
    clusters=np.arange(4),
)
"""Of the docstrings: weights 2, 0.5, 1 and 0."""
