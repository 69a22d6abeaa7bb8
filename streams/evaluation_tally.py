"""What does an evaluation count while it runs, and what figures come of it?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.evaluation import ClickEvaluation, hit_rate, mean_reciprocal_rank, ndcg
from streams.attribution import JoinOutcome
from streams.evaluation_result import ByRelevance, ClickQuality, NextItem, Ranked, ServedAndAsked
from streams.learner_fold import LearnEffects


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Where the item of one evaluated action stood, from 1, or `MISS` (0) for nowhere.

    Attributes:
        in_list: Its place in the list.
        by_source: Its place by each source's own score among the list's candidates.
        by_model: Its place by each order of those candidates.
        is_candidate: Whether it was among them.
    """

    in_list: int
    by_source: dict[str, int] = field(default_factory=dict)
    by_model: dict[str, int] = field(default_factory=dict)
    is_candidate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one action was foreseen.

    Attributes:
        served: Its item in the list that the store held.
        asked: Its item in a list computed at its time.
        is_popular: Whether the store held only the list for users who have none.
        is_never_seen: Whether the item had not occurred in the log.
        served_items: The items of the list that the store held.
    """

    served: Placing
    asked: Placing
    is_popular: bool
    is_never_seen: bool
    served_items: tuple[str, ...]


@dataclass(slots=True)
class _Places:
    served: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def metrics(self) -> ServedAndAsked:
        return ServedAndAsked(served=ranked_metrics(self.served), asked=ranked_metrics(self.asked))


class ItemTally:
    """Places of the items of evaluated actions."""

    def __init__(self) -> None:
        self._of_lists = _Places()
        self._of_sources: defaultdict[str, _Places] = defaultdict(_Places)
        self._of_models: defaultdict[str, _Places] = defaultdict(_Places)
        self._counts: Counter[str] = Counter()
        self._recommended: set[str] = set()

    def add(self, verdict: Verdict) -> None:
        """Count one action."""
        served, asked = verdict.served, verdict.asked
        _append(self._of_lists, served.in_list, asked.in_list)
        # Whoever has no list of their own reads the popular one, whatever makes the others'.
        for name, place in asked.by_source.items():
            _append(self._of_sources[name], served.by_source.get(name, served.in_list), place)
        for name, place in asked.by_model.items():
            _append(self._of_models[name], served.by_model.get(name, served.in_list), place)
        self._counts["evaluated"] += 1
        self._counts["recall_miss"] += not asked.is_candidate
        self._counts["never_seen"] += verdict.is_never_seen
        self._counts["popular_served"] += verdict.is_popular
        self._recommended.update(verdict.served_items)

    def next_item(self, num_known_items: int) -> NextItem:
        """Return the figures, given how many items are known at the end."""
        places = self._of_lists.metrics()
        evaluated = self._counts["evaluated"]
        share = min(1.0, len(self._recommended) / max(1, num_known_items))
        return NextItem(
            served=places.served,
            asked=places.asked,
            coverage=share if evaluated else None,
            evaluated=evaluated,
            recall_miss=self._counts["recall_miss"],
            never_seen=self._counts["never_seen"],
            popular_served=self._counts["popular_served"],
        )

    def sources(self) -> dict[str, ServedAndAsked]:
        """Return the figures of each source alone."""
        return {name: places.metrics() for name, places in sorted(self._of_sources.items())}

    def models(self) -> dict[str, ServedAndAsked]:
        """Return the figures of each order of the same candidates."""
        return {name: places.metrics() for name, places in sorted(self._of_models.items())}


class ClickTally:
    """Predictions and answers of the slates that were shown from some event on."""

    def __init__(self, first_event: int) -> None:
        self._first_event = first_event
        self._as_shown = ClickEvaluation()
        self._by_relevance = ClickEvaluation()
        self._num_slates = 0
        self.joins: Counter[str] = Counter()

    def add(self, effects: LearnEffects) -> None:
        """Count what a record led to."""
        for outcome, number in effects.joins.items():
            self.joins[outcome.value] += number
        for closed in effects.closed:
            predicted = closed.slate.predicted
            is_judged = closed.outcome is not JoinOutcome.EVICTED
            if is_judged and predicted and closed.slate.row.offset >= self._first_event:
                labels = closed.is_clicked()
                self._as_shown.add(predicted.as_shown, labels)
                self._by_relevance.add(predicted.by_relevance, labels)
                self._num_slates += 1

    def quality(self) -> ClickQuality:
        """Return the figures; all null without slates."""
        as_shown, by_relevance = self._as_shown.report(), self._by_relevance.report()
        return ClickQuality(
            ne=as_shown.ne,
            auc=as_shown.auc,
            mrr=as_shown.mrr,
            logloss=as_shown.logloss,
            calibration=as_shown.calibration,
            impressions=as_shown.num_impressions,
            slates=self._num_slates,
            clicks=as_shown.num_clicks,
            relevance=ByRelevance(ne=by_relevance.ne, auc=by_relevance.auc, mrr=by_relevance.mrr),
        )


def ranked_metrics(ranks: Sequence[int]) -> Ranked:
    """Return what the ranks of the evaluated actions' items are worth."""
    array = np.array(ranks, np.int64)
    return Ranked(
        hr_10=hit_rate(array, 10),
        hr_20=hit_rate(array, 20),
        ndcg_10=ndcg(array, 10),
        mrr_20=mean_reciprocal_rank(array, 20),
    )


def _append(places: _Places, served: int, asked: int) -> None:
    places.served.append(served)
    places.asked.append(asked)
