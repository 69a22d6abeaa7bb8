"""Metrics: agreement with slow definitions, nothing of nothing, honest intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation import (
    MISS,
    ClickEvaluation,
    auc,
    bootstrap_interval,
    calibration,
    hit_rate,
    log_loss,
    mean_reciprocal_rank,
    ndcg,
    normalised_entropy,
    slate_reciprocal_rank,
)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40),
)
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], dtype=np.float64)
    labels = np.array([label for _, label in pairs])
    wins = [
        1.0 if clicked > other else 0.5 if clicked == other else 0.0
        for clicked in scores[labels].tolist()
        for other in scores[~labels].tolist()
    ]
    expected = float(np.mean(wins)) if wins else None
    assert auc(scores, labels) == (None if expected is None else pytest.approx(expected))


@settings(max_examples=30)
@given(ranks=st.lists(st.integers(0, 30), min_size=1, max_size=50), k=st.integers(1, 25))
def test_list_metrics_are_ordered_and_count_misses(ranks: list[int], k: int) -> None:
    of = np.array(ranks)
    hits, gain, reciprocal = hit_rate(of, k), ndcg(of, k), mean_reciprocal_rank(of, k)
    assert hits is not None
    assert gain is not None
    assert reciprocal is not None
    assert 0 <= reciprocal <= gain <= hits <= 1
    assert hits == sum(rank != MISS and rank <= k for rank in ranks) / len(ranks)


def test_a_metric_of_nothing_is_none() -> None:
    none, no_labels = np.empty(0), np.empty(0, dtype=np.bool_)
    for metric in (hit_rate, ndcg, mean_reciprocal_rank):
        assert metric(none.astype(int), 10) is None
    for of_clicks in (log_loss, normalised_entropy, auc, calibration):
        assert of_clicks(none, no_labels) is None
        if of_clicks is not log_loss:
            assert of_clicks(np.array([0.5]), np.array([False])) is None
    assert slate_reciprocal_rank(np.array([0.5]), np.array([False])) is None
    report = ClickEvaluation().report()
    assert (report.ne, report.mrr, report.num_impressions) == (None, None, 0)


def test_certain_and_wrong_is_very_bad_and_still_finite() -> None:
    loss = log_loss(np.array([0.0]), np.array([True]))
    assert loss is not None
    assert 27 < loss < 28


def test_a_report_of_two_slates_by_hand() -> None:
    evaluation = ClickEvaluation()
    evaluation.add(np.array([0.5, 0.25]), np.array([False, True]))
    evaluation.add(np.array([0.5, 0.25, 0.5]), np.array([False, False, False]))
    report = evaluation.report()
    assert report.mrr == 0.5
    assert report.calibration == 2.0
    assert (report.num_impressions, report.num_clicks) == (5, 1)
    losses = -np.log([0.5, 0.25, 0.5, 0.75, 0.5])
    baseline = -(np.log(0.2) + 4 * np.log(0.8)) / 5
    assert report.logloss == pytest.approx(losses.mean())
    assert report.ne == pytest.approx(losses.mean() / baseline)
    assert report.auc == pytest.approx(0.125)


def test_the_interval_covers_the_mean_about_as_often_as_promised() -> None:
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(100):
        low, high = bootstrap_interval(
            generator.normal(size=60), generator=generator, num_resamples=200
        )
        covered += low <= 0 <= high
    assert 85 <= covered <= 100


def test_observations_of_one_user_are_drawn_together() -> None:
    generator = np.random.default_rng(4)
    of_users = generator.normal(size=20)
    values, groups = np.repeat(of_users, 50), np.repeat(np.arange(20), 50)
    low, high = bootstrap_interval(values, generator=generator)
    low_of_groups, high_of_groups = bootstrap_interval(values, generator=generator, groups=groups)
    assert high_of_groups - low_of_groups > 4 * (high - low)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="found no values"):
        bootstrap_interval([], generator=np.random.default_rng(1))
