import numpy as np
import pytest

from deploy.storefront.report import for_settings, report
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from tests.deploy.storefront.shops import SMALL, START_MS, open_for, with_oracle


def test_the_oracle_beats_popularity_and_popularity_beats_chance() -> None:
    storefront = with_oracle(SMALL)
    open_for(storefront, 3.0)
    figures = for_settings(SMALL, storefront.tally.sums_UM)
    assert figures.oracle.low > figures.popular.high * 1.1
    assert figures.popular.low > figures.random.high * 3
    assert figures.uplift.low > 0
    assert figures.gap_closed.low < 1 < figures.gap_closed.high
    assert figures.gap_closed_paired.value == pytest.approx(1.0)
    # The clicks of the control half agree with the true probabilities of its list.
    assert figures.control.low < figures.popular.value * 1.05
    assert "gap closed" in "\n".join(figures.lines())


def test_two_halves_served_alike_do_not_differ() -> None:
    settings = SMALL.replace(["halves=aa"])
    storefront = Storefront(settings, START_MS, read=_never)
    open_for(storefront, 1.0)
    storefront.serve_halves()
    open_for(storefront, 3.0)
    figures = for_settings(settings, storefront.tally.sums_UM)
    assert figures.uplift.low < 0 < figures.uplift.high
    assert figures.uplift_paired.value == 0.0


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    half_U = np.arange(400) % 2
    covered = 0
    for _ in range(200):
        ctr_U = rng.beta(2, 8, size=400)  # shoppers differ: views are not independent
        views_U = rng.poisson(10, size=400).astype(float)
        sums_UM = np.zeros((400, 6))
        sums_UM[:, 0], sums_UM[:, 1] = views_U, rng.binomial(views_U.astype(int), ctr_U)
        uplift = report(sums_UM, half_U, rng, num_resamples=200).uplift
        covered += uplift.low <= 0 <= uplift.high
    assert 180 <= covered <= 198


def test_nothing_seen_is_nan_and_not_nought() -> None:
    figures = for_settings(Settings(), np.zeros((Settings().num_users, 6)))
    assert np.isnan(figures.control.value)
    assert np.isnan(figures.gap_closed.low)


def _never(user_id: str, now_ms: int) -> None:
    raise AssertionError(f"an A/A run read a list for {user_id} at {now_ms}")
