"""What does an evaluation count while it runs, and what figures come of it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.evaluation import ClickEvaluation, hit_rate, mean_reciprocal_rank, ndcg
from streams.click_quality import ByRelevance, ClickQuality
from streams.evaluation.outcomes import LIST, OutcomeLog
from streams.evaluation.result import NextItem, Ranked, ServedAndAsked, SourceFigures
from streams.join_outcome import JoinOutcome
from streams.learner.fold import LearnEffects


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Where the item of one evaluated action stood, from 1, or `MISS` (0) for nowhere.

    Attributes:
        in_list: Its place in the list.
        by_source: Its place by each source's own score among the list's candidates.
        by_proposal: Its place in what each source proposed of those candidates.
        by_model: Its place by each order of those candidates.
        is_candidate: Whether it was among them.
    """

    in_list: int
    by_source: dict[str, int] = field(default_factory=dict)
    by_proposal: dict[str, int] = field(default_factory=dict)
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
        delayed: Places of its item in lists of which a part is known late, by their names.
    """

    served: Placing
    asked: Placing
    is_popular: bool
    is_never_seen: bool
    served_items: tuple[str, ...]
    delayed: Mapping[str, int] = field(default_factory=dict)


class ItemTally:
    """Places of the items of evaluated actions."""

    def __init__(self, log: OutcomeLog) -> None:
        """Begin with none.

        Args:
            log: Where the places go; nobody else puts actions into it.
        """
        self._log = log
        self._sources: set[str] = set()
        self._models: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._recommended: set[str] = set()

    def add(self, event: int, user_id: str, verdict: Verdict) -> None:
        """Count one action.

        Args:
            event: Its place in the file.
            user_id: Whose.
            verdict: How it was foreseen.
        """
        served, asked = verdict.served, verdict.asked
        by_name = {**asked.by_source, **asked.by_model}
        known = {**served.by_source, **served.by_model}
        # Whoever has no list of their own reads the popular one, whatever makes the others'.
        in_lists = {name: known.get(name, served.in_list) for name in by_name}
        self._log.add_action(
            event,
            user_id,
            {LIST: served.in_list, **in_lists},
            {
                LIST: asked.in_list,
                **by_name,
                **{_proposed(name): place for name, place in asked.by_proposal.items()},
                **verdict.delayed,
            },
        )
        self._sources.update(asked.by_source)
        self._models.update(asked.by_model)
        self._counts["evaluated"] += 1
        # A list's last places hold items that nobody has met, which are no candidates.
        self._counts["recall_miss"] += not (asked.is_candidate or asked.in_list)
        self._counts["never_seen"] += verdict.is_never_seen
        self._counts["popular_served"] += verdict.is_popular
        self._recommended.update(verdict.served_items)

    def next_item(self, num_known_items: int) -> NextItem:
        """Return the figures, given how many items are known at the end."""
        places = self._metrics(LIST)
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

    def sources(self) -> dict[str, SourceFigures]:
        """Return the figures of each source alone."""
        return {name: self._source(name) for name in sorted(self._sources)}

    def models(self) -> dict[str, ServedAndAsked]:
        """Return the figures of each order of the same candidates."""
        return {name: self._metrics(name) for name in sorted(self._models)}

    def _source(self, name: str) -> SourceFigures:
        orders = self._metrics(name)
        _, proposed = self._log.places(_proposed(name))
        return SourceFigures(
            served=orders.served, asked=orders.asked, proposed=ranked_metrics(proposed)
        )

    def _metrics(self, name: str) -> ServedAndAsked:
        served, asked = self._log.places(name)
        return ServedAndAsked(served=ranked_metrics(served), asked=ranked_metrics(asked))


class ClickTally:
    """Predictions and answers of the slates that were shown from some event on."""

    def __init__(self, first_event: int, log: OutcomeLog) -> None:
        """Begin with none.

        Args:
            first_event: Place in the file from which slates are judged.
            log: Where their outcomes go.
        """
        self._first_event = first_event
        self._log = log
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
                row = closed.slate.row
                self._log.add_slate(row.offset, row.user_id, predicted.as_shown, labels)
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


def _proposed(name: str) -> str:
    return f"{name} proposed"


def ranked_metrics(ranks: Sequence[int]) -> Ranked:
    """Return what the ranks of the evaluated actions' items are worth."""
    array = np.array(ranks, np.int64)
    return Ranked(
        hr_10=hit_rate(array, 10),
        hr_20=hit_rate(array, 20),
        ndcg_10=ndcg(array, 10),
        mrr_20=mean_reciprocal_rank(array, 20),
    )
