"""Which closed slate moves which metric of the learner."""

from __future__ import annotations

import numpy as np
import pytest

from streams.examples import ImpressionRow
from streams.join_outcome import JoinOutcome
from streams.learner.accounts import LearnerAccounts
from streams.learner.attribution import ClosedSlate, Predicted, ShownSlate
from streams.learner.fold import LearnEffects
from streams.metrics import LearnerMetrics


def closed(list_id: str, num_items: int, clicked: tuple[int, ...] = ()) -> ClosedSlate:
    row = ImpressionRow(
        offset=0,
        ts_ms=1,
        user_id="u1",
        request_id="r1",
        list_id=list_id,
        items=list(range(num_items)),
        positions=list(range(1, num_items + 1)),
        relevance=b"",
        examination=b"",
    )
    half = np.full(num_items, 0.5)
    slate = ShownSlate(
        partition=("t", 0),
        record_offset=0,
        shown_at_ms=1,
        deadline_ms=2,
        row=row,
        items=tuple(f"i{n}" for n in range(num_items)),
        predicted=Predicted(half, half),
    )
    outcome = JoinOutcome.JOINED if clicked else JoinOutcome.TIMEOUT
    return ClosedSlate(slate=slate, outcome=outcome, clicked=clicked, first_click_delay_ms=0)


@pytest.mark.parametrize(
    ("order", "shown", "clicks"), [("ranked", 5.0, 1.0), ("explored", 7.0, 3.0)]
)
def test_clicks_on_drawn_lists_are_told_from_those_on_ranked_ones(
    order: str, shown: float, clicks: float
) -> None:
    accounts = LearnerAccounts(LearnerMetrics())
    effects = LearnEffects(
        is_new=True,
        is_learned=True,
        closed=[
            closed("3-12", 5, (0,)),
            closed("3-14-x", 4, (0, 2, 3)),
            closed("3-15-x", 3),
            # No list of a user's: the popular one, another policy's, none.
            closed("popular-7", 2, (1,)),
            closed("theirs", 2, (1,)),
            closed("", 2, (1,)),
        ],
    )

    accounts.learned(effects, 0, num_open=0)

    value = accounts.metrics.registry.get_sample_value
    assert value("recsys_exploration_shown_total", {"order": order}) == shown
    assert value("recsys_exploration_clicks_total", {"order": order}) == clicks
