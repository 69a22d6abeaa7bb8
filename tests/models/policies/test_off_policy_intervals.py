"""Intervals of off-policy estimates: they hold what they promise, and say when they cannot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from models.policies.item_position_model import NUM_FOLDS, ItemPositionModel
from models.policies.off_policy import LoggedSlots, Terms, doubly_robust, ips, on_log, snips
from models.policies.off_policy_intervals import (
    Interval,
    bootstrap_intervals,
    normal_interval,
    weight_report,
)
from models.policies.place_chances import PlackettLuce

NUM_ITEMS, NUM_PLACES, NUM_USERS, NUM_SEEDS = 6, 2, 1500, 20
APPEAL = np.array([0.02, 0.05, 0.10, 0.15, 0.25, 0.40])
EXAMINED = np.array([1.0, 0.6])
LOGGED_KN = PlackettLuce(1.0).chances(np.array([1.0, 0.8, 0.5, 0.0, -0.3, -0.5]), NUM_PLACES)
TARGET_KN = PlackettLuce(1.0).chances(np.array([-1.0, 0.0, 0.0, 0.5, 0.5, 1.0]), NUM_PLACES)
TRUTH = float((TARGET_KN * EXAMINED[:, None] * APPEAL).sum() / NUM_PLACES)
"""Users differ in how much they click, by a factor of mean 1."""


class Simulated(NamedTuple):
    log: LoggedSlots
    of_logged: NDArray[np.float64]
    of_target: NDArray[np.float64]


def simulated(seed: int) -> Simulated:
    """Users with up to four slates each, drawn by the logging policy."""
    draws = np.random.default_rng(seed)
    users = np.repeat(np.arange(NUM_USERS), draws.integers(1, 5, NUM_USERS))
    eagerness = draws.choice([0.3, 1.7], NUM_USERS)[users]
    scores = np.array([1.0, 0.8, 0.5, 0.0, -0.3, -0.5]) + draws.gumbel(size=(len(users), NUM_ITEMS))
    items = np.argsort(-scores, axis=1)[:, :NUM_PLACES]
    clicked = draws.random(items.shape) < eagerness[:, None] * EXAMINED * APPEAL[items]
    places = np.arange(NUM_PLACES)
    log = LoggedSlots(
        rewards=clicked.ravel().astype(np.float64),
        propensities=LOGGED_KN[places, items].ravel(),
        targets=TARGET_KN[places, items].ravel(),
        clusters=np.repeat(users, NUM_PLACES),
    )
    model, folds = ItemPositionModel(num_positions=NUM_PLACES), users % NUM_FOLDS
    for fold in range(NUM_FOLDS):
        of_fold = items[folds == fold].ravel()
        positions = np.tile(places + 1, len(of_fold) // NUM_PLACES)
        model.learn(fold, of_fold.tolist(), positions, clicked[folds == fold].ravel())
    expected_FKN = np.stack(
        [model.expected(fold, range(NUM_ITEMS), places + 1) for fold in range(NUM_FOLDS)]
    )
    return Simulated(
        log,
        expected_FKN[folds[:, None], places, items].ravel(),
        (expected_FKN * TARGET_KN).sum(axis=2)[folds].ravel(),
    )


def terms_of(made: Simulated) -> dict[str, Terms]:
    return {
        "mean": on_log(made.log),
        "ips": ips(made.log),
        "snips": snips(made.log),
        "dr": doubly_robust(made.log, of_logged=made.of_logged, of_target=made.of_target),
    }


@pytest.fixture(scope="module")
def runs() -> dict[str, list[tuple[float, Interval, Interval]]]:
    """Value, bootstrap interval and normal interval of each estimate on each log."""
    found: dict[str, list[tuple[float, Interval, Interval]]] = {}
    for seed in range(NUM_SEEDS):
        made = simulated(seed)
        terms, clusters = terms_of(made), made.log.clusters
        drawn = bootstrap_intervals(
            list(terms.values()),
            terms["mean"],
            clusters,
            generator=np.random.default_rng(1000 + seed),
            num_resamples=400,
        )
        for (name, one), intervals in zip(terms.items(), drawn, strict=True):
            normal = normal_interval(one, clusters)
            found.setdefault(name, []).append((one.value, intervals.value, normal))
    return found


def num_covering(intervals: list[Interval]) -> int:
    return sum(low <= TRUTH <= high for low, high in intervals)


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_cover_the_truth_as_often_as_they_say(
    runs: dict[str, list[tuple[float, Interval, Interval]]], name: str
) -> None:
    values, drawn, normal = map(list, zip(*runs[name], strict=True))
    # Of 20 at 95 %, fewer than 17 cover once in 380 times.
    assert num_covering(drawn) >= 17
    assert num_covering(normal) >= 17
    assert np.mean(values) == pytest.approx(TRUTH, rel=0.03)
    # Nor are they wider than the estimates scatter.
    width = np.mean([high - low for low, high in drawn])
    assert 0.6 < width / (2 * 1.96 * np.std(values, ddof=1)) < 1.6


def test_the_plain_mean_of_the_log_never_covers_it(
    runs: dict[str, list[tuple[float, Interval, Interval]]],
) -> None:
    assert num_covering([interval for _, interval, _ in runs["mean"]]) == 0


def test_a_model_makes_the_interval_narrower(
    runs: dict[str, list[tuple[float, Interval, Interval]]],
) -> None:
    width = {name: np.mean([one[1][1] - one[1][0] for one in of]) for name, of in runs.items()}
    assert width["dr"] < 0.97 * width["ips"]


def test_a_difference_is_of_the_same_draws() -> None:
    """Two estimates that always differ by as much: the difference has no width."""
    log = simulated(1).log
    base = on_log(log)
    above = Terms(base.numerators + 0.25 * base.denominators, base.denominators)
    generator = np.random.default_rng(1)
    (found,) = bootstrap_intervals([above], base, log.clusters, generator=generator)
    assert found.difference == pytest.approx((0.25, 0.25))
    assert found.value.high - found.value.low > 0.005


def test_slots_of_one_user_are_not_so_many_users() -> None:
    """Every slot ten times: nothing is learned from that, so no interval may shrink."""
    log = simulated(2).log
    tenfold = LoggedSlots(
        rewards=np.repeat(log.rewards, 10),
        propensities=np.repeat(log.propensities, 10),
        targets=np.repeat(log.targets, 10),
        clusters=np.repeat(log.clusters, 10),
    )
    assert normal_interval(ips(tenfold), tenfold.clusters) == pytest.approx(
        normal_interval(ips(log), log.clusters)
    )
    drawn = [
        bootstrap_intervals(
            [snips(one)], on_log(one), one.clusters, generator=np.random.default_rng(3)
        )
        for one in (log, tenfold)
    ]
    assert drawn[0][0].value == pytest.approx(drawn[1][0].value)


def test_one_user_bounds_nothing() -> None:
    terms = Terms(np.array([1.0, 0.0]), np.ones(2))
    assert normal_interval(terms, np.zeros(2, np.int64)) == (-np.inf, np.inf)


def slots(weights: NDArray[np.float64], rewards: NDArray[np.float64]) -> LoggedSlots:
    propensities = np.full(len(weights), 0.01)
    return LoggedSlots(
        rewards=rewards,
        propensities=propensities,
        targets=weights * propensities,
        clusters=np.arange(len(weights)),
    )


def test_nothing_speaks_against_many_equal_weights() -> None:
    report = weight_report(slots(np.ones(200), np.ones(200)))
    assert report.effective_slots == pytest.approx(200)
    assert report.warnings() == []


@pytest.mark.parametrize(("num", "is_told"), [(99, True), (100, False)])
def test_fewer_than_a_hundred_effective_slots_are_told(num: int, is_told: bool) -> None:  # noqa: FBT001
    weights = np.concatenate([np.ones(num), np.zeros(5000)])
    report = weight_report(slots(weights, np.ones(len(weights))))
    assert report.effective_slots == pytest.approx(num)
    assert any("effective sample size" in one for one in report.warnings()) is is_told


@pytest.mark.parametrize(("num", "is_told"), [(19, True), (20, False)])
def test_an_estimate_of_few_rewards_is_told(num: int, is_told: bool) -> None:  # noqa: FBT001
    report = weight_report(slots(np.ones(500), (np.arange(500) < num).astype(np.float64)))
    assert report.effective_rewards == pytest.approx(num)
    assert any("rewards, effectively" in one for one in report.warnings()) is is_told


@pytest.mark.parametrize(("weight", "is_told"), [(1.4, True), (1.0, False), (0.6, True)])
def test_a_mean_weight_that_cannot_be_one_is_told(weight: float, is_told: bool) -> None:  # noqa: FBT001
    weights = np.random.default_rng(1).uniform(0.9, 1.1, 400) * weight
    report = weight_report(slots(weights, np.ones(400)))
    assert any("mean weight" in one for one in report.warnings()) is is_told


def test_clipping_is_told_and_the_mean_is_of_what_was() -> None:
    weights = np.concatenate([np.full(10, 20.0), np.full(190, 0.0)])
    report = weight_report(slots(weights, np.ones(200)), clip=5.0)
    assert (report.num_clipped, report.largest, report.mean) == (10, 20.0, 1.0)
    assert "10 of 200 weights were clipped at 5" in report.warnings()[-1]
