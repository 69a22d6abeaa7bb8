import numpy as np
import numpy.typing as npt
import pytest

from models.gate import Decision, GateConfig, judge

_USERS = np.repeat(np.arange(400, dtype=np.uint64), 3)


def _ranks(seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(1, 60, len(_USERS))


def test_worse_bundle_is_refused_with_the_figures() -> None:
    incumbent = _ranks(1)
    verdict = judge(incumbent + 4, incumbent, _USERS, GateConfig())
    assert verdict.decision is Decision.KEEP
    assert verdict.incumbent is not None
    assert verdict.candidate < verdict.incumbent
    assert "1200 held-out" in verdict.reason
    assert "95% interval -" in verdict.reason


def test_better_bundle_is_promoted() -> None:
    incumbent = _ranks(1)
    verdict = judge(np.maximum(incumbent - 4, 1), incumbent, _USERS, GateConfig())
    assert verdict.decision is Decision.PROMOTE


def test_equal_bundle_is_promoted_since_it_is_newer() -> None:
    incumbent = _ranks(1)
    assert judge(incumbent.copy(), incumbent, _USERS, GateConfig()).decision is Decision.PROMOTE


def test_too_few_targets_decide_nothing() -> None:
    incumbent = _ranks(1)[:199]
    better = np.ones(199, np.int64)
    verdict = judge(better, incumbent, _USERS[:199], GateConfig(min_targets=200))
    assert verdict.decision is Decision.UNDECIDED
    assert "200 are needed" in verdict.reason


def test_first_bundle_is_taken() -> None:
    verdict = judge(_ranks(1), None, _USERS, GateConfig())
    assert verdict.decision is Decision.PROMOTE
    assert verdict.incumbent is None


def test_one_users_many_targets_count_as_one_witness() -> None:
    # One user is served far worse, everybody else a little better or the same.
    incumbent = np.full(600, 5)
    candidate = incumbent.copy()
    candidate[:200] = 10
    alone = np.concatenate([np.zeros(200), np.arange(1, 401)]).astype(np.uint64)
    assert judge(candidate, incumbent, alone, GateConfig()).decision is Decision.PROMOTE
    apart = np.arange(600, dtype=np.uint64)
    assert judge(candidate, incumbent, apart, GateConfig()).decision is Decision.KEEP


def test_same_seed_gives_the_same_verdict() -> None:
    verdicts = [judge(_ranks(2), _ranks(3), _USERS, GateConfig(seed=4)) for _ in range(2)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].candidate == pytest.approx(float((1 / _ranks(2)).mean()))
