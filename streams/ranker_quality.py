"""How good was what a ranker said of slates, once they were answered?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.evaluation import ClickEvaluation
from models.slate_ranker import Predicts
from models.watch_evaluation import WatchEvaluation
from streams.evaluation_result import ByRelevance, RankerQuality, WatchQuality


class RankerJudge:
    """Collects what one ranker said, with the answers."""

    def __init__(self) -> None:
        self._as_shown = ClickEvaluation()
        self._by_relevance = ClickEvaluation()
        self._watched = WatchEvaluation()
        self._num_slates = 0

    def add(
        self,
        as_shown: npt.NDArray[np.float64],
        by_relevance: npt.NDArray[np.float64],
        labels: npt.NDArray[np.bool_],
        watch_times: npt.NDArray[np.float64],
    ) -> None:
        """Take a slate in.

        Args:
            as_shown: float64[N], `SlateRanker.predicted`.
            by_relevance: float64[N], `SlateRanker.scores`.
            labels: bool[N].
            watch_times: float64[N], NaN where nobody knows.
        """
        self._as_shown.add(as_shown, labels)
        self._by_relevance.add(by_relevance, labels)
        self._watched.add(as_shown, labels, watch_times)
        self._num_slates += 1

    def quality(self, predicts: Predicts) -> RankerQuality:
        """Return the figures of a ranker that predicts this."""
        shown, relevance = self._as_shown.report(), self._by_relevance.report()
        watched = self._watched.report()
        is_p = predicts == "clicks"
        return RankerQuality(
            ne=shown.ne if is_p else None,
            auc=shown.auc,
            mrr=shown.mrr,
            logloss=shown.logloss if is_p else None,
            calibration=shown.calibration if is_p else None,
            impressions=shown.num_impressions,
            slates=self._num_slates,
            clicks=shown.num_clicks,
            relevance=ByRelevance(auc=relevance.auc, mrr=relevance.mrr),
            watched=WatchQuality(
                mispredicted=watched.mispredicted,
                calibration=watched.calibration if predicts == "watch_time" else None,
                slates=watched.num_slates,
                unknown=watched.num_unknown,
            ),
        )
