import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.storefront.report import for_settings, report, uplift_beyond_aa, won_a_view
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
        uplift = report(_clicks(rng, ctr_U), half_U, rng, num_resamples=200).uplift
        covered += uplift.low <= 0 <= uplift.high
    assert 180 <= covered <= 198


def test_an_uplift_is_told_from_what_the_halves_differ_in_anyway() -> None:
    rng = np.random.default_rng(6)
    settings = Settings(num_users=400)
    covered = found = 0
    for _ in range(100):
        # Every shopper is as they are in both shops; by chance one half is of better clickers.
        ctr_U = rng.beta(2, 8, size=400)
        alike_UM, same_UM, better_UM = (
            _clicks(rng, ctr_U + gain * (np.arange(400) % 2)) for gain in (0.0, 0.0, 0.08)
        )
        nothing = uplift_beyond_aa(settings, same_UM, alike_UM, num_resamples=200)
        covered += nothing.low <= 0 <= nothing.high
        found += uplift_beyond_aa(settings, better_UM, alike_UM, num_resamples=200).low > 0
    assert 88 <= covered <= 99
    assert found >= 90


def test_what_a_list_won_is_a_mean_over_views_of_those_who_saw_it() -> None:
    settings = Settings(num_users=4)
    won = won_a_view(settings, np.array([0.0, 0.6, 0.0, 0.6]), np.array([0.0, 2.0, 0.0, 4.0]))
    assert won.value == pytest.approx(1.2 / 6)
    assert (won.low, won.high) == pytest.approx((0.15, 0.3))


def test_nothing_seen_is_nan_and_not_nought() -> None:
    figures = for_settings(Settings(), np.zeros((Settings().num_users, 6)))
    assert np.isnan(figures.control.value)
    assert np.isnan(figures.gap_closed.low)


def _clicks(rng: np.random.Generator, ctr_U: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a tally of some ten views of each shopper, who click with these chances."""
    views_U = rng.poisson(10, size=len(ctr_U))
    sums_UM = np.zeros((len(ctr_U), 6))
    sums_UM[:, 0], sums_UM[:, 1] = views_U, rng.binomial(views_U, np.minimum(ctr_U, 1.0))
    return sums_UM


def _never(user_id: str, now_ms: int) -> None:
    raise AssertionError(f"an A/A run read a list for {user_id} at {now_ms}")
