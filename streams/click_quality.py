"""How good was what was said of slates, once they were answered? As results tell it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from models.evaluation import ClickEvaluation
from models.rankers.slate_ranker import Predicts
from models.watch_evaluation import WatchEvaluation
from streams.result_file import Count, Share


class ByRelevance(Struct, frozen=True, kw_only=True):
    """p(click) by relevance alone, without position: what ranking uses."""

    ne: float | None = None
    auc: Share | None = None
    mrr: Share | None = None


class ClickQuality(Struct, frozen=True, kw_only=True):
    """How well p(click) was predicted, always before the slate was learned.

    Attributes:
        ne: Normalised entropy: log loss over that of the base rate; below 1 beats the base rate.
        auc: Over all shown items.
        mrr: Mean reciprocal rank, by p(click), of the best-placed clicked item of a clicked slate.
        logloss: In nats an item.
        calibration: Sum of p(click) over number of clicks.
        impressions: Shown items.
        slates: Slates they stood in.
        clicks: Shown items that were clicked.
        relevance: The same by relevance alone.
    """

    ne: float | None = None
    auc: Share | None = None
    mrr: Share | None = None
    logloss: float | None = None
    calibration: float | None = None
    impressions: Count = 0
    slates: Count = 0
    clicks: Count = 0
    relevance: ByRelevance = ByRelevance()


class WatchQuality(Struct, frozen=True, kw_only=True):
    """How well watch times were foreseen, by the items as shown.

    Attributes:
        mispredicted: Share of the watch time, over pairs of an item clicked and one of its slate
            that was not, of which the second scored higher; equal scores count half.
        calibration: Predicted over observed watch time, of rankers that predict it.
        slates: Whose watch times are known, those without a click included.
        unknown: Slates in which something was clicked whose watch time is not known.
    """

    mispredicted: Share | None = None
    calibration: float | None = None
    slates: Count = 0
    unknown: Count = 0


class RankerQuality(ClickQuality, frozen=True, kw_only=True):
    """The same of a ranker.

    Attributes:
        watched: Beside clicks, where the log says how long things were watched.
    """

    watched: WatchQuality = WatchQuality()


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
