"""Estimates from logged propensities: by hand, against another implementation, and refused."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.off_policy import CLIP, DATA, LOGS, case_of, chances_of, estimates
from models.policies.off_policy import (
    BadPropensity,
    LoggedSlots,
    NoOverlap,
    OffPolicyRefused,
    check_support,
    doubly_robust,
    ips,
    on_log,
    snips,
)


def logged(**changes: object) -> LoggedSlots:
    """Weights 4, 0 and 2: clicked, clicked, not."""
    columns: dict[str, object] = {
        "rewards": np.array([1.0, 1.0, 0.0]),
        "propensities": np.array([0.25, 0.25, 0.5]),
        "targets": np.array([1.0, 0.0, 1.0]),
        "clusters": np.array([0, 0, 1]),
        **changes,
    }
    return LoggedSlots(**columns)  # type: ignore[arg-type]


def test_by_hand() -> None:
    log = logged()
    assert on_log(log).value == pytest.approx(2 / 3)
    assert ips(log).value == pytest.approx(4 / 3)
    assert snips(log).value == pytest.approx(4 / 6)
    # The model expects .5 of everything: .5 + (4 * .5 + 0 - 2 * .5) / 3.
    half = np.full(3, 0.5)
    assert doubly_robust(log, of_logged=half, of_target=half).value == pytest.approx(0.5 + 1 / 3)


def test_clipped_by_hand() -> None:
    log, half = logged(), np.full(3, 0.5)
    assert ips(log, clip=3.0).value == pytest.approx(3 / 3)
    assert snips(log, clip=3.0).value == pytest.approx(3 / 5)
    robust = doubly_robust(log, of_logged=half, of_target=half, clip=3.0)
    assert robust.value == pytest.approx(0.5 + (1.5 - 1.0) / 3)


def test_the_logging_policy_itself_is_worth_what_it_earned() -> None:
    log = logged(targets=np.array([0.25, 0.25, 0.5]))
    expected = np.array([0.9, 0.1, 0.4])
    robust = doubly_robust(log, of_logged=expected, of_target=expected)
    for terms in (ips(log), snips(log), robust):
        assert terms.value == pytest.approx(2 / 3)


def test_a_model_that_knows_nothing_leaves_inverse_propensities() -> None:
    log, nothing = logged(), np.zeros(3)
    assert doubly_robust(log, of_logged=nothing, of_target=nothing).value == ips(log).value


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, np.nan, np.inf])
def test_a_propensity_that_is_none_is_refused_with_its_place(bad: float) -> None:
    with pytest.raises(BadPropensity, match="1 of 3 slots without a usable propensity") as refused:
        logged(propensities=np.array([0.25, bad, 0.5]))
    assert f"slot 1: {bad:g}" in str(refused.value)
    assert "expected each above 0, up to 1: log with every shown item" in str(refused.value)


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
def test_a_target_chance_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(BadPropensity, match="target chance"):
        logged(targets=np.array([1.0, 0.0, bad]))


def test_rewards_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(BadPropensity, match="1 of 3 rewards"):
        logged(rewards=np.array([1.0, np.nan, 0.0]))


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(BadPropensity, match=r"found columns of \[2, 3\] slots"):
        logged(clusters=np.array([0, 1]))


def test_no_slots_are_refused() -> None:
    nothing = np.empty(0)
    with pytest.raises(OffPolicyRefused, match="found no slots"):
        logged(rewards=nothing, propensities=nothing, targets=nothing, clusters=nothing)


def test_a_policy_that_did_nothing_of_what_was_logged_is_refused() -> None:
    with pytest.raises(NoOverlap, match="not one of 3 slots"):
        logged(targets=np.zeros(3))


def test_mass_where_the_logging_policy_had_none_is_refused_where_that_is_known() -> None:
    logging = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    check_support(np.array([[0.9, 0.1, 0.0], [0.0, 0.0, 1.0]]), logging)
    with pytest.raises(NoOverlap, match=r"1 of 2 slots .*slot 0, action 2: 0\.1 against 0"):
        check_support(np.array([[0.9, 0.0, 0.1], [0.0, 0.0, 1.0]]), logging)
    logging[1, 0] = np.nan
    with pytest.raises(NoOverlap, match="slot 1, action 0"):
        check_support(np.array([[0.9, 0.1, 0.0], [1.0, 0.0, 0.0]]), logging)


# What obp 0.5.7 printed for the very same chances and model (benchmarks/off_policy.py).
OBP = {
    ("random", "uniform"): {"ips": 0.0038, "snips": 0.0038, "dr": 0.003788534},
    ("random", "drawn"): {"ips": 0.003900280, "snips": 0.004001824, "dr": 0.004066081},
    ("random", "greedy"): {"ips": 0.0, "snips": 0.0, "dr": 0.000238946},
    ("bts", "uniform"): {"ips": 0.002359640, "snips": 0.002333714, "dr": 0.002537737},
    ("bts", "drawn"): {"ips": 0.001956998, "snips": 0.002286998, "dr": 0.002671232},
    ("bts", "greedy"): {"ips": 0.0, "snips": 0.0, "dr": 0.000954834},
}
OBP_CLIPPED = {
    ("random", "uniform"): {"ips": 0.0038, "dr": 0.003788534},
    ("random", "drawn"): {"ips": 0.003378010, "dr": 0.003944471},
    ("random", "greedy"): {"ips": 0.0, "dr": 0.002992983},
    ("bts", "uniform"): {"ips": 0.002359640, "dr": 0.003613039},
    ("bts", "drawn"): {"ips": 0.001956998, "dr": 0.003982499},
    ("bts", "greedy"): {"ips": 0.0, "dr": 0.002580178},
}


@pytest.mark.skipif(not DATA.exists(), reason=f"the Open Bandit logs {DATA} are not here")
@pytest.mark.parametrize("log", LOGS)
def test_real_logs_give_what_open_bandit_pipeline_gives(log: str) -> None:
    case = case_of(DATA / f"{log}.csv.gz")
    for policy, chances_LA in chances_of(DATA).items():
        found = estimates(case, chances_LA)
        for name, value in OBP[log, policy].items():
            assert found[name] == pytest.approx(value, abs=1e-9), (policy, name)
        for name, value in OBP_CLIPPED[log, policy].items():
            assert found[f"{name} <= {CLIP:g}"] == pytest.approx(value, abs=1e-9), (policy, name)
