"""Rankers compared on a log: each predicts before it learns, and trees not before their time."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from featurestore.features import FeatureConfig, FeatureLayout
from streams.config import ConfigRefused, config_of
from streams.evaluation.rankers import EvaluationRankers
from streams.evaluation_config import MIN_TRAINING_MS
from streams.examples import EXAMPLES_VERSION, ExamplesRecord, ImpressionRow
from streams.join_outcome import JoinOutcome
from streams.learner.attribution import ClosedSlate, ShownSlate
from streams.learner.fold import LearnEffects
from tests.streams.stream_events import START_MS

LAYOUT = FeatureLayout(config=FeatureConfig(numeric=(), context=(), position_context=()))
INTERVAL_MS = 3_600_000
STEP_MS = 60_000


def shown(offset: int) -> ImpressionRow:
    """A slate of four at minute `offset`; what differs is a bin that tells what is clicked."""
    num_relevance = LAYOUT.relevance_width
    relevance = np.tile(LAYOUT.offsets[:num_relevance], (4, 1))
    relevance[:, 2] += np.random.default_rng(offset).permutation(4)
    examination = np.tile(LAYOUT.offsets[num_relevance:-1], (4, 1))
    return ImpressionRow(
        offset=offset,
        ts_ms=START_MS + offset * STEP_MS,
        user_id="u",
        request_id="",
        list_id="",
        items=[0, 1, 2, 3],
        positions=[1, 2, 3, 4],
        relevance=relevance.astype("<i4").tobytes(),
        examination=examination.astype("<i4").tobytes(),
    )


def answered(row: ImpressionRow, outcome: JoinOutcome = JoinOutcome.JOINED) -> LearnEffects:
    clicked = int(np.random.default_rng(row.offset).permutation(4).argmax())
    slate = ShownSlate(
        partition=("t", 0),
        record_offset=row.offset,
        shown_at_ms=row.ts_ms,
        deadline_ms=row.ts_ms,
        row=row,
        items=("a", "b", "c", "d"),
    )
    closed = ClosedSlate(slate=slate, outcome=outcome, clicked=(clicked,), first_click_delay_ms=0)
    return LearnEffects(closed=[closed])


def record(row: ImpressionRow) -> ExamplesRecord:
    return ExamplesRecord(
        version=EXAMPLES_VERSION,
        topic_id="t",
        partition=0,
        from_offset=row.offset,
        to_offset=row.offset + 1,
        lost_from=-1,
        replica_offset=0,
        layout="",
        bundle="",
        config="",
        items=[],
        rows=[row],
    )


def mrr_of(name: str, first: int, last: int) -> float:
    """What a ranker is worth on the slates from `first` to `last`, the log ending there."""
    rankers = EvaluationRankers([name], LAYOUT, first_event=first, interval_ms=INTERVAL_MS, seed=1)
    for offset in range(last + 1):
        row = shown(offset)
        rankers.take(record(row), answered(row))
    mrr = rankers.quality()[name].mrr
    assert mrr is not None
    return mrr


def test_trees_are_used_from_the_end_of_their_training_on() -> None:
    trained_at = INTERVAL_MS // STEP_MS
    usable_at = trained_at + MIN_TRAINING_MS // STEP_MS

    constant = 1 / 2.5  # the mean place of four equals
    assert mrr_of("xgboost_slate", 0, usable_at - 1) == pytest.approx(constant)
    assert mrr_of("xgboost_slate", usable_at, usable_at + 20) > 0.9


def test_one_clock_far_ahead_makes_no_tree_ready() -> None:
    rankers = EvaluationRankers(
        ["xgboost_slate"],
        LAYOUT,
        first_event=INTERVAL_MS // STEP_MS,
        interval_ms=INTERVAL_MS,
        seed=1,
    )
    for offset in range(INTERVAL_MS // STEP_MS + 4):
        row = shown(offset)
        if offset == INTERVAL_MS // STEP_MS + 1:
            row = msgspec.structs.replace(row, ts_ms=row.ts_ms * 2, user_id="broken")
        rankers.take(record(row), answered(row))

    assert rankers.quality()["xgboost_slate"].mrr == pytest.approx(1 / 2.5)


def test_a_slate_is_predicted_before_it_is_learned() -> None:
    assert mrr_of("slate", 0, 0) == pytest.approx(1 / 2.5)


def test_an_evicted_slate_is_neither_judged_nor_learned() -> None:
    rankers = EvaluationRankers(["slate"], LAYOUT, first_event=0, interval_ms=INTERVAL_MS, seed=1)
    rankers.take(record(shown(0)), answered(shown(0), JoinOutcome.EVICTED))
    assert rankers.quality()["slate"].slates == 0
    rankers.take(record(shown(1)), answered(shown(1)))
    assert rankers.quality()["slate"].mrr == pytest.approx(1 / 2.5)


def test_a_slate_that_counts_no_more_is_judged_and_not_learned() -> None:
    rankers = EvaluationRankers(["slate"], LAYOUT, first_event=0, interval_ms=INTERVAL_MS, seed=1)
    for offset in range(20):
        row = shown(offset)
        rankers.take(record(row), answered(row, JoinOutcome.REPEATED))
    assert rankers.quality()["slate"].slates == 20
    assert rankers.quality()["slate"].mrr == pytest.approx(1 / 2.5)


def test_what_each_ranker_costs_is_told() -> None:
    rankers = EvaluationRankers(
        ["slate", "xgboost_slate"], LAYOUT, first_event=0, interval_ms=INTERVAL_MS, seed=1
    )
    for offset in range(70):
        rankers.take(record(shown(offset)), answered(shown(offset)))
    costs = rankers.costs()
    assert {name: cost.slates for name, cost in costs.items()} == {"slate": 70, "xgboost_slate": 70}
    # Its one training took longer than all steps of the other.
    assert costs["xgboost_slate"].learning_s > costs["slate"].learning_s > 0
    assert all(cost.predicting_s > 0 for cost in costs.values())


def test_an_unknown_ranker_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ConfigRefused, match="rankers among slate, logistic"):
        config_of({"evaluation": {"rankers": ["best"]}})
