"""How much of the gap between popularity and the oracle is closed, and how sure is that?

CTR is clicks per list shown. Shoppers, not views, are independent: intervals are percentiles of a
bootstrap over shoppers within each half, and carry what several shoppers share only as far as both
halves share it (the same items, the same hours).

Two estimates of one quantity, (treated - popularity) / (oracle - popularity):

- `gap_closed` compares the clicks of the two halves: what an experimenter could see.
- `gap_closed_paired` uses the true probabilities, at the treated half's own views, of the list
  shown and of the popularity list: less noise, no other shoppers, but only the simulator can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deploy.storefront.tally import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.storefront.settings import Settings

_VIEWS, _CLICKS, _SERVED, _RANDOM, _POPULAR, _ORACLE = range(len(COLUMNS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with a 95 % interval; all nan where nothing was seen."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """CTR of the halves and of the reference lists, over the counted views.

    Attributes:
        control_views: lists shown to the control half.
        treated_views: lists shown to the treated half.
        control: CTR of the half that is served recent popularity.
        treated: CTR of the other half.
        uplift: treated minus control.
        random: CTR that a random list would have had, at the views of both halves.
        popular: the same of the popularity list.
        oracle: the same of the best list for each page.
        gap_closed: uplift over (oracle - popular).
        gap_closed_paired: the same from the true probabilities at the treated half's views.
        uplift_paired: its numerator.
    """

    control_views: int
    treated_views: int
    control: Interval
    treated: Interval
    uplift: Interval
    random: Interval
    popular: Interval
    oracle: Interval
    gap_closed: Interval
    gap_closed_paired: Interval
    uplift_paired: Interval

    def lines(self) -> list[str]:
        """Return the report as text, one figure a line."""
        views = self.control_views + self.treated_views
        return [
            f"CTR = clicks per list shown, {views} lists; 95 % intervals over shoppers",
            f"half served popularity  {self.control}  ({self.control_views} lists)",
            f"half served Headrace    {self.treated}  ({self.treated_views} lists)",
            f"uplift                  {self.uplift}",
            f"a random list           {self.random}",
            f"the popularity list     {self.popular}",
            f"the oracle's list       {self.oracle}",
            f"gap closed              {self.gap_closed}",
            f"gap closed, paired      {self.gap_closed_paired}",
        ]


def report(
    sums_UM: NDArray[np.float64],
    half_U: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    num_resamples: int = 1_000,
) -> Report:
    """Summarise a tally.

    Args:
        sums_UM: per shopper the sums of `tally.COLUMNS`.
        half_U: 0 for the control half, 1 for the treated half.
        rng: draws the resamples.
        num_resamples: bootstrap resamples; 1,000 of 3,000 shoppers take about 0.2 s of a core.
    """
    control_views, treated_views = (sums_UM[half_U == half, _VIEWS].sum() for half in (0, 1))
    return Report(
        control_views=int(control_views),
        treated_views=int(treated_views),
        **_estimates(sums_UM, half_U, rng, num_resamples, _figures),
    )


def for_settings(
    settings: Settings, sums_UM: NDArray[np.float64], *, num_resamples: int = 1_000
) -> Report:
    """Summarise a tally of a shop whose halves are the even and the odd shoppers."""
    return report(sums_UM, *_halves(settings), num_resamples=num_resamples)


def uplift_beyond_aa(
    settings: Settings,
    sums_UM: NDArray[np.float64],
    aa_sums_UM: NDArray[np.float64],
    *,
    num_resamples: int = 1_000,
) -> Interval:
    """Return how far a shop's uplift is from the difference that an A/A test of that shop shows.

    The same shoppers are drawn for both, so that what sets the halves apart by chance counts once.

    Args:
        settings: the shop's.
        sums_UM: per shopper the sums of `tally.COLUMNS` where one half is served the recommender.
        aa_sums_UM: the same where both halves are served popularity.
        num_resamples: bootstrap resamples.
    """
    num_columns = len(COLUMNS)

    def beyond(sums_BHM: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        seen, by_chance = np.split(sums_BHM, [num_columns], axis=2)
        return {"uplift": _figures(seen)["uplift"] - _figures(by_chance)["uplift"]}

    both_UM = np.concatenate([sums_UM, aa_sums_UM], axis=1)
    return _estimates(both_UM, *_halves(settings), num_resamples, beyond)["uplift"]


def won_a_view(
    settings: Settings,
    won_U: NDArray[np.float64],
    views_U: NDArray[np.float64],
    *,
    num_resamples: int = 1_000,
) -> Interval:
    """Return what lists won a view, in CTR, with an interval over the shoppers who saw any.

    Args:
        settings: the shop's.
        won_U: per shopper the sum of the differences of true click probabilities.
        views_U: per shopper the views that it is a sum over.
        num_resamples: bootstrap resamples.
    """
    has_seen_U = views_U > 0
    sums_UM = np.stack([won_U, views_U], axis=1)[has_seen_U]
    _, rng = _halves(settings)

    def won(sums_BHM: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"won": sums_BHM[:, 0, 0] / sums_BHM[:, 0, 1]}

    one_half_U = np.zeros(len(sums_UM), dtype=np.int64)
    return _estimates(sums_UM, one_half_U, rng, num_resamples, won)["won"]


def _halves(settings: Settings) -> tuple[NDArray[np.int64], np.random.Generator]:
    half_U = np.arange(settings.num_users) % 2
    return half_U, np.random.default_rng([settings.seed, len(COLUMNS)])


def _estimates(
    sums_UM: NDArray[np.float64],
    half_U: NDArray[np.int64],
    rng: np.random.Generator,
    num_resamples: int,
    figures: Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]],
) -> dict[str, Interval]:
    """Return what `figures` makes of the sums of each half, with intervals over shoppers."""
    halves = [sums_UM[half_U == half] for half in np.unique(half_U)]
    point_HM = np.stack([half.sum(axis=0) for half in halves])[None]
    resampled_BHM = np.stack([_resample(half, rng, num_resamples) for half in halves], axis=1)
    resampled = figures(resampled_BHM)
    return {
        name: _interval(value_B[0], resampled[name]) for name, value_B in figures(point_HM).items()
    }


def _resample(
    sums_UM: NDArray[np.float64], rng: np.random.Generator, num_resamples: int
) -> NDArray[np.float64]:
    num_users = len(sums_UM)
    weights_BU = rng.multinomial(num_users, np.full(num_users, 1 / num_users), size=num_resamples)
    return np.asarray(weights_BU.astype(np.float64) @ sums_UM)


def _figures(sums_BHM: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    both_BM, treated_BM = sums_BHM.sum(axis=1), sums_BHM[:, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        ctr_BH = sums_BHM[:, :, _CLICKS] / sums_BHM[:, :, _VIEWS]
        random_B, popular_B, oracle_B = (
            both_BM[:, column] / both_BM[:, _VIEWS] for column in (_RANDOM, _POPULAR, _ORACLE)
        )
        uplift_B = ctr_BH[:, 1] - ctr_BH[:, 0]
        won_B = treated_BM[:, _SERVED] - treated_BM[:, _POPULAR]
        return {
            "control": ctr_BH[:, 0],
            "treated": ctr_BH[:, 1],
            "uplift": uplift_B,
            "random": random_B,
            "popular": popular_B,
            "oracle": oracle_B,
            "gap_closed": uplift_B / (oracle_B - popular_B),
            "gap_closed_paired": won_B / (treated_BM[:, _ORACLE] - treated_BM[:, _POPULAR]),
            "uplift_paired": won_B / treated_BM[:, _VIEWS],
        }


def _interval(value: np.float64, resampled_B: NDArray[np.float64]) -> Interval:
    finite_B = resampled_B[np.isfinite(resampled_B)]
    if not len(finite_B) or not np.isfinite(value):
        return Interval(value=float("nan"), low=float("nan"), high=float("nan"))
    low, high = np.quantile(finite_B, [0.025, 0.975])
    return Interval(value=float(value), low=float(low), high=float(high))
