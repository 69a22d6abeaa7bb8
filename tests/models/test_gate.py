import numpy as np
import numpy.typing as npt
import pytest

from models.gate import Decision, GateConfig, judge

_USERS = np.repeat(np.arange(400, dtype=np.uint64), 3)


def _scores(seed: int) -> npt.NDArray[np.float64]:
    return 1 / np.random.default_rng(seed).integers(1, 60, len(_USERS))


def test_worse_bundle_is_refused_with_the_figures() -> None:
    incumbent = _scores(1)
    verdict = judge(incumbent * 0.8, incumbent, _USERS, GateConfig())
    assert verdict.decision is Decision.KEEP
    assert verdict.incumbent is not None
    assert verdict.candidate < verdict.incumbent
    assert "1200 held-out" in verdict.reason
    assert "95 % interval -" in verdict.reason


def test_better_bundle_is_promoted() -> None:
    incumbent = _scores(1)
    verdict = judge(incumbent * 1.25, incumbent, _USERS, GateConfig())
    assert verdict.decision is Decision.PROMOTE


def test_equal_bundle_is_promoted_since_it_is_newer() -> None:
    incumbent = _scores(1)
    assert judge(incumbent.copy(), incumbent, _USERS, GateConfig()).decision is Decision.PROMOTE


def test_a_sure_loss_within_the_tolerance_is_none() -> None:
    incumbent = _scores(1)
    worse = incumbent - 0.004
    assert judge(worse, incumbent, _USERS, GateConfig()).decision is Decision.KEEP
    tolerant = GateConfig(tolerance=0.005)
    assert judge(worse, incumbent, _USERS, tolerant).decision is Decision.PROMOTE
    assert judge(worse - 0.004, incumbent, _USERS, tolerant).decision is Decision.KEEP


def test_too_few_targets_decide_nothing() -> None:
    incumbent = _scores(1)[:199]
    better = np.ones(199)
    verdict = judge(better, incumbent, _USERS[:199], GateConfig(min_targets=200))
    assert verdict.decision is Decision.UNDECIDED
    assert "200 are needed" in verdict.reason


def test_first_bundle_is_taken() -> None:
    verdict = judge(_scores(1), None, _USERS, GateConfig())
    assert verdict.decision is Decision.PROMOTE
    assert verdict.incumbent is None


def test_one_users_many_targets_count_as_one_witness() -> None:
    # One user is served far worse, everybody else a little better or the same.
    incumbent = np.full(600, 0.2)
    candidate = incumbent.copy()
    candidate[:200] = 0.1
    alone = np.concatenate([np.zeros(200), np.arange(1, 401)]).astype(np.uint64)
    assert judge(candidate, incumbent, alone, GateConfig()).decision is Decision.PROMOTE
    apart = np.arange(600, dtype=np.uint64)
    assert judge(candidate, incumbent, apart, GateConfig()).decision is Decision.KEEP


def test_same_seed_gives_the_same_verdict() -> None:
    verdicts = [judge(_scores(2), _scores(3), _USERS, GateConfig(seed=4)) for _ in range(2)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].candidate == pytest.approx(float(_scores(2).mean()))
