"""What do the online models learn from rows and from slates whose answer is known?"""

from __future__ import annotations

import numpy as np

from models.online.online_models import OnlineModels
from streams.examples import (
    ActionRow,
    ChoiceRow,
    ImpressionRow,
    unpack_float32,
    unpack_int32,
    unpack_keys,
)
from streams.learner.attribution import ClosedSlate, Predicted, ShownSlate
from streams.learner.next_slates import ClosedCandidates, NextOutcome


class Teacher:
    """Teaches the one instance of the online models that learns."""

    def __init__(self, online: OnlineModels) -> None:
        self._online = online

    def predicted(self, row: ImpressionRow) -> Predicted:
        """What is expected of a slate before it is learned."""
        click, num_items = self._online.click, len(row.items)
        relevance = unpack_int32(row.relevance, num_items)
        examination = unpack_int32(row.examination, num_items)
        return Predicted(
            as_shown=click.slate_probabilities(relevance, examination),
            by_relevance=click.slate_probabilities(relevance),
        )

    def impression(self, shown: ShownSlate) -> None:
        """Count that items were shown."""
        self._online.learn_impression(
            shown.items, time_ms=shown.shown_at_ms, uncounted=shown.row.uncounted
        )

    def action(self, row: ActionRow, item_id: str, event_ms: int) -> None:
        """Count an action; one that is not positive, or does not count, only names its item."""
        if row.weight <= 0 or not row.is_counted:
            self._online.learn_item(item_id, time_ms=event_ms)
            return
        self._online.learn_action(
            item_id,
            weight=row.weight,
            time_ms=event_ms,
            previous=unpack_keys(row.previous).tolist(),
            context=row.context,
        )

    def choice(self, row: ChoiceRow) -> None:
        """Learn an action that no list led to."""
        if self._online.choice is not None:
            indices = unpack_int32(row.choice, row.num_items)
            self._online.choice.learn_choice(indices, np.full(row.num_items, row.pull))

    def shown(self, closed: ClosedSlate) -> None:
        """Learn a slate that was shown and whose answer is final."""
        if not closed.is_learned:
            return
        slate, online = closed.slate, self._online
        row, num_items, is_clicked = slate.row, len(slate.items), closed.is_clicked()
        positions = np.array(row.positions)
        online.learn_click(
            slate.items,
            unpack_int32(row.relevance, num_items),
            unpack_int32(row.examination, num_items),
            is_clicked,
            time_ms=slate.shown_at_ms + closed.first_click_delay_ms,
        )
        if online.choice is not None:
            choices, pulls = unpack_int32(row.choice, num_items), np.full(num_items, row.pull)
            online.choice.learn_shown(choices, pulls, positions, is_clicked)
        features_NF = unpack_float32(row.rerank, num_items)
        for clicked in closed.clicked:
            online.reranker.learn(features_NF, clicked, positions)

    def candidates(self, closed: ClosedCandidates) -> None:
        """Learn a list's candidates of which one was acted upon."""
        if closed.outcome is NextOutcome.JOINED:
            features_NF = unpack_float32(closed.slate.row.features, len(closed.slate.items))
            self._online.reranker.learn(features_NF, closed.chosen)
