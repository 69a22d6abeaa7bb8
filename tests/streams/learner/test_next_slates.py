from __future__ import annotations

from dataclasses import replace

from streams.examples import SlateRow
from streams.learner.next_slates import CandidateSlate, NextOutcome, NextSlates
from streams.sections import AttributionConfig

P0 = ("t", 0)
CONFIG = AttributionConfig(window_ms=1_000)


def slate(user: str, items: str, record_offset: int = 0) -> CandidateSlate:
    row = SlateRow(
        offset=0,
        ts_ms=0,
        user_id=user,
        list_id="0-0",
        items=list(range(len(items))),
        features=b"",
    )
    return CandidateSlate(
        partition=P0,
        record_offset=record_offset,
        deadline_ms=1_000,
        row=row,
        items=tuple(items),
    )


def test_next_action_names_the_chosen_candidate() -> None:
    slates = NextSlates(CONFIG)
    slates.open(slate("u", "abc"))
    closed = slates.act("u", "b", is_used=True)

    assert closed is not None
    assert (closed.outcome, closed.chosen) == (NextOutcome.JOINED, 1)
    assert slates.act("u", "c", is_used=True) is None


def test_missing_item_is_a_recall_miss_and_closes_the_slate() -> None:
    slates = NextSlates(CONFIG)
    slates.open(slate("u", "abc"))
    closed = slates.act("u", "z", is_used=True)

    assert closed is not None
    assert (closed.outcome, closed.chosen) == (NextOutcome.RECALL_MISS, -1)
    assert slates.act("u", "a", is_used=True) is None


def test_only_the_latest_slate_of_a_user_is_open() -> None:
    slates = NextSlates(CONFIG)
    slates.open(slate("u", "abc"))
    [replaced] = slates.open(slate("u", "de"))
    closed = slates.act("u", "a", is_used=True)

    assert replaced.outcome is NextOutcome.REPLACED
    assert closed is not None
    assert closed.outcome is NextOutcome.RECALL_MISS


def test_slate_times_out() -> None:
    slates = NextSlates(CONFIG)
    slates.open(slate("u", "abc"))

    assert slates.expire(P0, 1_000) == []
    assert [closed.outcome for closed in slates.expire(P0, 1_001)] == [NextOutcome.TIMEOUT]
    assert slates.act("u", "a", is_used=True) is None


def test_oldest_record_is_that_of_the_oldest_open_slate() -> None:
    slates = NextSlates(CONFIG)
    slates.open(slate("u", "abc", record_offset=3))
    slates.open(slate("v", "abc", record_offset=5))
    assert slates.oldest_record() == 3
    slates.act("u", "a", is_used=True)

    assert slates.oldest_record() == 5


def test_caps_evict_the_oldest() -> None:
    slates = NextSlates(replace(CONFIG, max_open_slates=1))
    slates.open(slate("u", "abc"))

    assert [closed.outcome for closed in slates.open(slate("v", "abc"))] == [NextOutcome.EVICTED]
    assert slates.act("u", "a", is_used=True) is None
