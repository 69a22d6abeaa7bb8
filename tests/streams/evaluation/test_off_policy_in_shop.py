"""In a shop whose lists are explored, an estimate tells what another ranker would have earned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.exploration import EXPLORED, SHOP, Outcome, Phases, outcome
from streams.config import config_of
from streams.evaluation.off_policy_estimates import ESTIMATORS

pytestmark = pytest.mark.slow

PHASES = Phases(past_h=0.1, learn_h=0.2, evaluate_h=0.4)


@pytest.fixture(scope="module")
def found() -> Outcome:
    config = config_of({}, {}, EXPLORED)
    return outcome(replace(SHOP, seed=4), config, PHASES, ranker="slate", level=0.99)


def test_the_intervals_hold_what_the_shop_knows(found: Outcome) -> None:
    assert {name: found.covers(name) for name in ESTIMATORS} == dict.fromkeys(ESTIMATORS, True)


def test_the_propensities_are_right_and_the_ranker_is_covered(found: Outcome) -> None:
    weights = found.found.weights

    assert weights.mean_interval.low is not None
    assert weights.mean_interval.high is not None
    assert 0.75 < weights.mean_interval.low < 1 < weights.mean_interval.high < 1.3
    assert weights.effective_slots > 500
