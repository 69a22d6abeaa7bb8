"""What rankers are trained on is what the learner learned, slate by slate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.examples import ExamplesRecord, unpack_int32
from streams.learner.attribution import ClosedSlate
from streams.sections import AttributionConfig
from streams.source_partitions import GapInExamples
from streams.trainer.answered_slates import AnsweredSlates
from tests.streams.example_logs import (
    CONFIG,
    LAYOUT,
    START_MS,
    Chunker,
    Source,
    action,
    impression,
    logs,
    new_fold,
    new_online,
    record_of,
    visit,
)


def joined(
    records: Sequence[ExamplesRecord], config: AttributionConfig = CONFIG, capacity: int = 1_000
) -> AnsweredSlates:
    slates = AnsweredSlates(config, layout=LAYOUT, capacity=capacity)
    for offset, record in enumerate(records):
        slates.take(record, offset)
    slates.finish()
    return slates


def learned(records: Sequence[ExamplesRecord], config: AttributionConfig) -> list[ClosedSlate]:
    """The slates that the learner closed and learned."""
    fold = new_fold(new_online(), config)
    closed = [
        one for offset, record in enumerate(records) for one in fold.fold(record, offset).closed
    ]
    return [one for one in [*closed, *fold.flush().closed] if one.is_learned]


@st.composite
def records_of_two_partitions(draw: st.DrawFn) -> list[ExamplesRecord]:
    return list(Chunker(draw, [draw(logs()), draw(logs())]).records())


@settings(max_examples=80, deadline=None)
@given(
    records=records_of_two_partitions(),
    after_click_ms=st.sampled_from([0, 20_000]),
    max_open=st.sampled_from([2, 100]),
)
def test_the_join_is_the_learners(
    records: list[ExamplesRecord], after_click_ms: int, max_open: int
) -> None:
    config = AttributionConfig(
        window_ms=60_000, after_click_ms=after_click_ms, max_open_slates_per_partition=max_open
    )
    found, expected = joined(records, config).newest(), learned(records, config)

    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        row, num_items = theirs.slate.row, len(theirs.slate.items)
        assert mine.shown_at_ms == theirs.slate.shown_at_ms
        assert mine.labels.tolist() == theirs.is_clicked().tolist()
        np.testing.assert_array_equal(mine.watch_times, theirs.watch_times())
        np.testing.assert_array_equal(mine.relevance, unpack_int32(row.relevance, num_items))
        np.testing.assert_array_equal(mine.examination, unpack_int32(row.examination, num_items))


def slate_with_click(number: int) -> list[Source]:
    at_ms, request = START_MS + 1000 * number, f"r{number}"
    return [
        impression("ann", ["i1", "i2"], at_ms, request=request, features=number),
        action("ann", "i2", at_ms + 1, request=request),
    ]


def test_only_the_newest_are_kept() -> None:
    record = record_of([one for number in range(5) for one in slate_with_click(number)], 0)
    assert [one.shown_at_ms for one in joined([record], capacity=2).newest()] == [
        START_MS + 3000,
        START_MS + 4000,
    ]


def test_slates_of_another_layout_are_counted_and_left_out() -> None:
    other = record_of(slate_with_click(0), 0, layout="other")
    slates = joined([other, record_of(slate_with_click(1), 2)])
    assert [one.shown_at_ms for one in slates.newest()] == [START_MS + 1000]
    assert slates.num_other == 1


def test_what_retention_removed_may_be_missing_and_nothing_else() -> None:
    first, third = record_of(slate_with_click(0), 0), record_of(slate_with_click(2), 4)
    slates = joined([first])
    slates.take(third, 5)
    assert len(slates) == 2
    with pytest.raises(GapInExamples):
        joined([first, third])


def test_a_time_below_zero_is_none() -> None:
    request = [
        impression("ann", ["i1", "i2", "i3"], START_MS, request="r"),
        action("ann", "i2", START_MS + 1, request="r", value=-1.0),
        action("ann", "i1", START_MS + 2, request="r", value=2.5),
    ]
    config = AttributionConfig(window_ms=60_000, after_click_ms=1_000)
    (found,) = joined([record_of(request, 0)], config).newest()
    assert found.labels.tolist() == [True, True, False]
    np.testing.assert_array_equal(found.watch_times, [2.5, np.nan, np.nan])


def test_a_partition_that_lags_is_waited_for() -> None:
    """Of its slates only the clicked ones are known yet, however far the others are ahead."""
    slates = AnsweredSlates(CONFIG, layout=LAYOUT, capacity=100)
    lagging = [
        *slate_with_click(0),
        # By a slow clock, and open: it holds back what was shown since it came, not since then.
        impression("bob", ["i1"], START_MS - 10**7, request="slow"),
        impression("cat", ["i1"], START_MS + 20_000, request="open"),
        *slate_with_click(30),
    ]
    slates.take(record_of(lagging, 0), 0)
    # The slow one came a millisecond after the first.
    ahead = [one for number in (200, 201) for one in slate_with_click(number)]
    slates.take(record_of(ahead, 0, partition=1), 1)
    assert [one.shown_at_ms - START_MS for one in slates.settled()] == [0]

    # The slow one's window is over, that of what was shown at 20 s is not.
    slates.take(record_of([visit("ann", START_MS + 70_000)], len(lagging)), 2)
    assert [one.shown_at_ms - START_MS for one in slates.settled()] == [-(10**7), 0]

    slates.take(record_of([visit("ann", START_MS + 90_000)], len(lagging) + 1), 3)
    assert [one.shown_at_ms - START_MS for one in slates.settled()] == [-(10**7), 0, 20_000, 30_000]


def test_a_record_that_comes_twice_counts_once() -> None:
    record, slates = record_of(slate_with_click(0), 0), joined([])
    for offset in (0, 0, 1):
        slates.take(record, offset)
    assert len(slates) == 1
    assert slates.next_offset == 2
