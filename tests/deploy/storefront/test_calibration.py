import numpy as np
import pytest

from deploy.storefront.calibration import (
    Figures,
    Opens,
    find_globo,
    measure,
    opens_of,
    read_globo,
    table,
)
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from deploy.storefront.world import HOUR_MS
from tests.deploy.storefront.shops import START_MS


@pytest.fixture(scope="module")
def simulated() -> Figures:
    return measure(opens_of(Storefront(Settings(), START_MS).events(START_MS + 2 * HOUR_MS)))


def test_figures_of_a_log_worked_by_hand() -> None:
    # Session 0: items 7, 7, 8 at 0, 10, 40 s. Session 1: 7, 9 at 5, 15 s. Session 2: one open.
    opens = Opens(
        user_N=np.array([1, 2, 1, 2, 1, 3]),
        session_N=np.array([0, 1, 0, 1, 0, 2]),
        item_N=np.array([7, 7, 7, 9, 8, 7]),
        ts_ms_N=np.array([0, 5, 10, 15, 40, 50]) * 1_000,
    )
    figures = measure(opens)
    assert (figures.num_opens, figures.num_users, figures.num_items) == (5, 2, 3)
    assert figures.opens_per_session == 2.5
    assert figures.repeat_share == pytest.approx(1 / 5)
    assert figures.item_gini == pytest.approx(4 / 15)
    assert figures.gap_quantiles_s[1] == 10.0


def test_the_simulated_log_is_near_the_real_one(simulated: Figures) -> None:
    path = find_globo()
    if path is None:
        pytest.skip("the Globo log is not in ../shared/data")
    real = measure(read_globo(path))
    assert simulated.item_gini == pytest.approx(real.item_gini, abs=0.1)
    assert simulated.opens_per_session == pytest.approx(real.opens_per_session, rel=0.15)
    assert simulated.repeat_share == pytest.approx(real.repeat_share, abs=0.02)
    for ours, theirs in zip(simulated.gap_quantiles_s, real.gap_quantiles_s, strict=True):
        # A quarter and more of the real gaps are exactly 30 s, an artefact of how it was made.
        assert 0.4 < ours / theirs < 2.0


def test_the_table_shows_both_logs_or_says_that_one_is_absent(simulated: Figures) -> None:
    assert len({len(line) for line in table(simulated, simulated)}) == 1
    assert all("log absent" in line for line in table(simulated, None)[1:])
