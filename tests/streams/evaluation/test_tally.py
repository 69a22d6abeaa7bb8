from __future__ import annotations

import numpy as np

from streams.click_quality import ClickQuality
from streams.evaluation.outcomes import OutcomeLog
from streams.evaluation.tally import ClickTally, ItemTally, Placing, Verdict
from streams.examples import ImpressionRow
from streams.join_outcome import JoinOutcome
from streams.learner.attribution import ClosedSlate, Predicted, ShownSlate
from streams.learner.fold import LearnEffects


def verdict(served: int, asked: Placing, *, is_popular: bool = False) -> Verdict:
    return Verdict(
        served=Placing(in_list=served),
        asked=asked,
        is_popular=is_popular,
        is_never_seen=False,
        served_items=("a", "b"),
    )


def test_nothing_evaluated_gives_null_and_not_zero() -> None:
    tally = ItemTally(OutcomeLog())

    assert tally.next_item(5).served.hr_20 is None
    assert tally.next_item(5).coverage is None
    assert tally.sources() == {}


def test_who_has_no_list_reads_the_popular_one_whatever_makes_the_others() -> None:
    tally = ItemTally(OutcomeLog())
    asked = Placing(in_list=1, by_source={"trending": 2}, by_model={"next": 4}, is_candidate=True)
    tally.add(1, "u", verdict(5, asked, is_popular=True))

    assert tally.next_item(4).popular_served == 1
    assert tally.next_item(4).served.mrr_20 == 0.2
    assert tally.sources()["trending"].served.mrr_20 == 0.2
    assert tally.sources()["trending"].asked.mrr_20 == 0.5
    assert tally.models()["next"].asked.mrr_20 == 0.25


def test_an_item_outside_the_candidates_is_a_recall_miss_and_stays_in_the_denominator() -> None:
    tally = ItemTally(OutcomeLog())
    tally.add(1, "u", verdict(1, Placing(in_list=1, is_candidate=True)))
    tally.add(2, "u", verdict(0, Placing(in_list=0)))
    found = tally.next_item(4)

    assert (found.evaluated, found.recall_miss) == (2, 1)
    assert found.asked.hr_20 == 0.5
    assert found.coverage == 0.5


def test_a_source_is_judged_by_its_order_of_all_candidates_and_by_its_own_proposals() -> None:
    tally = ItemTally(OutcomeLog())
    asked = Placing(in_list=1, by_source={"ease": 2}, by_proposal={"ease": 4}, is_candidate=True)
    tally.add(1, "u", verdict(1, asked))
    asked = Placing(in_list=1, by_source={"ease": 1}, by_proposal={"ease": 0}, is_candidate=True)
    tally.add(2, "u", verdict(1, asked))
    found = tally.sources()["ease"]

    assert found.asked.mrr_20 == 0.75
    assert found.proposed.mrr_20 == 0.125
    assert sorted(tally.sources()) == ["ease"]


def closed(offset: int, clicked: tuple[int, ...], p: list[float]) -> ClosedSlate:
    row = ImpressionRow(
        offset=offset,
        ts_ms=1,
        user_id="u",
        request_id="",
        list_id="",
        items=[0, 1],
        positions=[1, 2],
        relevance=b"",
        examination=b"",
    )
    slate = ShownSlate(
        partition=("t", 0),
        record_offset=offset,
        shown_at_ms=1,
        deadline_ms=2,
        row=row,
        items=("a", "b"),
        predicted=Predicted(np.array(p), np.array(p[::-1])),
    )
    return ClosedSlate(
        slate=slate, outcome=JoinOutcome.TIMEOUT, clicked=clicked, first_click_delay_ms=0
    )


def test_slates_count_from_the_first_evaluated_event_on() -> None:
    tally = ClickTally(10, OutcomeLog())
    slates = [closed(9, (0,), [0.5, 0.5]), closed(10, (0,), [0.8, 0.4]), closed(11, (), [0.1, 0.1])]
    tally.add(LearnEffects(closed=slates))
    quality = tally.quality()

    assert (quality.slates, quality.impressions, quality.clicks) == (2, 4, 1)
    assert (quality.mrr, quality.relevance.mrr) == (1.0, 0.5)
    assert quality.calibration is not None
    assert round(quality.calibration, 6) == 1.4
    assert quality.auc == 1.0


def test_without_slates_every_figure_of_clicks_is_null() -> None:
    assert ClickTally(0, OutcomeLog()).quality() == ClickQuality()


def test_without_clicks_what_needs_them_is_null() -> None:
    tally = ClickTally(0, OutcomeLog())
    tally.add(LearnEffects(closed=[closed(1, (), [0.1, 0.1])]))
    quality = tally.quality()

    assert (quality.ne, quality.auc, quality.calibration) == (None, None, None)
    assert quality.logloss is not None
