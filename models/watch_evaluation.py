"""How good is an order of shown items in watch time? The measure of YouTube's ranker.

Covington, Adams & Sargin, "Deep Neural Networks for YouTube Recommendations", 2016, section 4.3: of
every pair of an item that was clicked and one of the same slate that was not, the first should
score higher; where it does not, its watch time is mispredicted. Reported is the mispredicted share
of the pairs' watch time; pairs of one score count half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """Over all slates whose watch times are known; None where there is nothing to measure.

    Attributes:
        mispredicted: Share of the watch time.
        calibration: What was predicted over what was watched, if watch times were predicted.
        num_slates: Slates whose watch times are known, those without a click included.
        num_unknown: Slates in which something was clicked whose watch time nobody knows.
    """

    mispredicted: float | None
    calibration: float | None
    num_slates: int
    num_unknown: int


class WatchEvaluation:
    """Collects slates that were predicted and then watched.

    >>> watch = WatchEvaluation()
    >>> labels, times = np.array([True, False, False]), np.array([60.0, np.nan, np.nan])
    >>> watch.add(np.array([10.0, 30.0, 8.0]), labels, times)
    >>> watch.report().mispredicted, watch.report().calibration  # 1 of 2 pairs; 48 / 60
    (0.5, 0.8)
    """

    def __init__(self) -> None:
        self._mispredicted = 0.0
        self._of_pairs = 0.0
        self._predicted = 0.0
        self._watched = 0.0
        self._num_slates = 0
        self._num_unknown = 0

    def add(
        self,
        scores: NDArray[np.float64],
        labels: NDArray[np.bool_],
        watch_times: NDArray[np.float64],
    ) -> None:
        """Take one slate: what was said of each item, what was clicked, and how long watched."""
        watched = watch_times[labels]
        if np.isnan(watched).any():
            self._num_unknown += 1
            return
        self._num_slates += 1
        self._predicted += float(scores.sum())
        self._watched += float(watched.sum())
        # [clicked, others]: how wrong the order of each pair is.
        differences = scores[labels][:, None] - scores[~labels]
        wrong = (differences < 0) + 0.5 * (differences == 0)
        self._mispredicted += float(watched @ wrong.sum(axis=1))
        self._of_pairs += float(watched.sum()) * int((~labels).sum())

    def report(self) -> WatchReport:
        """Figures over all slates so far."""
        return WatchReport(
            mispredicted=self._mispredicted / self._of_pairs if self._of_pairs else None,
            calibration=self._predicted / self._watched if self._watched else None,
            num_slates=self._num_slates,
            num_unknown=self._num_unknown,
        )
