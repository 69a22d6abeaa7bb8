from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.examples import ExamplesRecord
from streams.join_outcome import JoinOutcome
from streams.learner.refill import LayoutMismatch, LearnerMeta
from streams.sections import AttributionConfig
from streams.source_partitions import GapInExamples
from tests.streams.example_logs import (
    BUNDLE,
    CHALLENGER,
    CONFIG,
    END,
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
    rivals,
    slate,
    visit,
)


def tables_after(records: Sequence[ExamplesRecord], config: AttributionConfig = CONFIG) -> bytes:
    """The tables' bytes, under an offset that does not depend on the number of records."""
    online = new_online()
    fold = new_fold(online, config)
    for offset, record in enumerate(records):
        fold.fold(record, offset)
    fold.flush()
    online.advance(END)
    return online.snapshot()


def chunked(draw: st.DrawFn, partitions: list[list[Source]]) -> list[ExamplesRecord]:
    return list(Chunker(draw, partitions).records())


@st.composite
def two_chunkings(draw: st.DrawFn) -> tuple[list[ExamplesRecord], list[ExamplesRecord]]:
    log = draw(logs())
    return chunked(draw, [log]), chunked(draw, [log])


@settings(max_examples=60, deadline=None)
@given(two_chunkings())
def test_any_chunking_and_repetition_learns_the_same(
    chunkings: tuple[list[ExamplesRecord], list[ExamplesRecord]],
) -> None:
    first, second = chunkings

    assert tables_after(first) == tables_after(second)


@st.composite
def examples_logs(draw: st.DrawFn) -> list[ExamplesRecord]:
    return chunked(draw, [draw(logs(max_events=15)), draw(logs(max_events=15))])


CAPPED = replace(CONFIG, max_open_slates=3, max_open_slates_per_partition=2)
LINGERING = replace(CONFIG, after_click_ms=30_000)


@settings(max_examples=40, deadline=None)
@given(examples_logs(), st.sampled_from([CONFIG, CAPPED, LINGERING]), st.data())
def test_a_restart_from_any_base_learns_what_an_uninterrupted_learner_does(
    records: list[ExamplesRecord], config: AttributionConfig, data: st.DataObject
) -> None:
    uninterrupted = tables_after(records, config)
    stop = data.draw(st.integers(0, len(records)))
    online = new_online()
    fold = new_fold(online, config)
    for offset in range(stop):
        fold.fold(records[offset], offset)
    payload, meta = online.snapshot(), msgspec.json.encode(fold.meta())

    online = new_online()
    fold = new_fold(online, config)
    online.restore(payload)
    fold.restore(msgspec.json.decode(meta, type=LearnerMeta))
    for offset in range(fold.next_offset, len(records)):
        fold.fold(records[offset], offset)
    fold.flush()
    online.advance(END)

    assert online.snapshot() == uninterrupted


def test_a_restart_at_every_record_of_a_long_log_learns_the_same() -> None:
    generator = np.random.default_rng(3)
    sources: list[Source] = []
    for number in range(300):
        ts_ms, user = START_MS + number * 2_000, f"u{generator.integers(4)}"
        items = [f"i{n}" for n in generator.choice(9, 3, replace=False)]
        match generator.integers(3):
            case 0:
                sources.append(impression(user, items, ts_ms, request="r", features=number))
            case 1:
                sources.append(action(user, items[0], ts_ms, previous=items[1:]))
            case _:
                sources.append(slate(user, items, ts_ms, features=number))
    records = [record_of(sources[n : n + 1], n) for n in range(300)]
    uninterrupted = tables_after(records)

    online = new_online()
    fold = new_fold(online)
    for offset, record in enumerate(records):
        fold.fold(record, offset)
        payload, meta = online.snapshot(), fold.meta()
        if offset % 7 == 0:
            online = new_online()
            online.restore(payload)
            fold = new_fold(online)
            fold.restore(meta)
            assert offset - fold.next_offset < 64 + 31, "a refill reads one window and one mark"
            for again in range(fold.next_offset, offset + 1):
                fold.fold(records[again], again)
    fold.flush()
    online.advance(END)

    assert online.snapshot() == uninterrupted


def test_click_is_learned_at_once_and_a_slate_without_click_when_its_window_ends() -> None:
    online = new_online()
    fold = new_fold(online)
    shown = impression("u", ["a", "b"], START_MS, request="r")
    ignored = impression("v", ["a", "b"], START_MS)
    fold.fold(record_of([shown, ignored], 0), 0)
    clicked = fold.fold(record_of([action("u", "b", START_MS + 9, request="r")], 2), 1)
    waited = fold.fold(record_of([visit("w", START_MS + 60_001)], 3), 2)

    assert clicked.joins == Counter({JoinOutcome.JOINED: 1})
    assert [closed.clicked for closed in clicked.closed] == [(1,)]
    assert waited.joins == Counter({JoinOutcome.TIMEOUT: 1})
    assert fold.num_open_slates == 0


def test_prediction_is_from_before_anything_was_learned_of_the_slate() -> None:
    fold = new_fold(new_online())
    for number in range(3):
        request = f"r{number}"
        events = [
            impression("u", ["a", "b"], START_MS + number, request=request, features=1),
            action("u", "a", START_MS + number, request=request),
        ]
        [closed] = fold.fold(record_of(events, 2 * number), number).closed
        predicted = closed.slate.predicted
        assert predicted is not None
        if number == 0:
            assert predicted.as_shown.tolist() == [1 / 3, 1 / 3]
        else:
            assert predicted.as_shown[0] > 1 / 3 > predicted.as_shown[1]


def test_what_is_done_without_a_list_tells_two_bundles_apart() -> None:
    fold = new_fold(new_online())
    lists = ["a", "b"], ["b", "c"]
    led = action("bob", "b", START_MS, request="r")
    events = [
        *(rivals(user, lists, START_MS) for user in ("ann", "bob", "cid")),
        *(action("ann", "b", START_MS), led, action("cid", "c", START_MS)),
        *(slate("dan", ["a"], START_MS), action("dan", "a", START_MS)),
    ]

    found = fold.fold(record_of(events, 0), 0).compared

    assert [(one.bundle, one.challenger) for one in found] == [(BUNDLE, CHALLENGER)] * 2
    assert [(one.rank, one.challenger_rank) for one in found] == [(2, 1), (math.inf, 2)]
    chances = [(np.exp(one.score), np.exp(one.challenger_score)) for one in found]
    every = 0.01 / 3
    assert chances[0] == pytest.approx((0.99 / 3 + every, 0.99 * 2 / 3 + every))
    assert chances[1] == pytest.approx((every, 0.99 / 3 + every))
    assert [(one.gain, one.challenger_gain) for one in found] == [(0.5, 1.0), (0.0, 0.5)]
    assert found[0].user != found[1].user


def test_what_is_done_on_lists_of_others_counts_where_ours_are_all_named() -> None:
    events = [
        *(rivals(user, (["a"], ["b"]), START_MS) for user in ("ann", "bob", "cid")),
        action("ann", "b", START_MS, request="r"),
        action("cid", "b", START_MS, request="r", list_id="popular-7"),
        action("bob", "b", START_MS, request="r", list_id="0-1"),
    ]
    for names_all_lists in (False, True):
        fold = new_fold(new_online(), replace(CONFIG, names_all_lists=names_all_lists))
        found = fold.fold(record_of(events, 0), 0).compared
        assert len(found) == 2 * names_all_lists


def test_counters_take_no_time_from_a_broken_clock() -> None:
    day_ms = 86_400_000
    honest, broken = new_online(), new_online()
    for online, wrong_ms in ((honest, START_MS), (broken, START_MS + 400 * day_ms)):
        events = [action("u", "a", START_MS), action("v", "b", wrong_ms)]
        new_fold(online).fold(record_of(events, 0), 0)

    assert honest.snapshot() == broken.snapshot()


def test_gap_stops_the_learner() -> None:
    fold = new_fold(new_online())
    fold.fold(record_of([visit("u", START_MS)], 0), 0)

    with pytest.raises(GapInExamples):
        fold.fold(record_of([visit("u", START_MS)], 2), 1)


def test_rows_of_another_layout_are_refused() -> None:
    fold = new_fold(new_online())

    with pytest.raises(LayoutMismatch, match="'other', expected 'layout'"):
        fold.fold(record_of([visit("u", START_MS)], 0, layout="other"), 0)


def test_base_of_another_layout_or_topic_is_refused() -> None:
    meta = new_fold(new_online(), layout="other").meta()
    fold = new_fold(new_online())

    with pytest.raises(LayoutMismatch, match="the base"):
        fold.restore(meta)
    with pytest.raises(ValueError, match="DEL learner:base"):
        fold.restore(msgspec.structs.replace(meta, topic_id="recreated", layout=LAYOUT))


def test_refill_that_retention_has_cut_gives_up_its_slates_and_goes_on() -> None:
    events = [impression("u", ["a"], START_MS, request="r"), visit("u", START_MS)]
    records = [record_of([event], offset) for offset, event in enumerate(events)]
    fold = new_fold(new_online())
    for offset, record in enumerate(records):
        fold.fold(record, offset)
    meta = fold.meta()
    assert (meta.join_from, meta.offset) == (0, 2)

    fold = new_fold(new_online())
    fold.restore(meta)
    fold.fold(records[1], 1)
    effects = fold.fold(record_of([action("u", "a", START_MS, request="r")], 2), 2)

    assert effects.joins == Counter({JoinOutcome.ORPHAN_CLICK: 1})


def test_records_that_retention_has_cut_beyond_the_base_are_counted() -> None:
    fold = new_fold(new_online())
    fold.fold(record_of([visit("u", START_MS)], 0), 0)
    meta = fold.meta()

    fold = new_fold(new_online())
    fold.restore(meta)
    effects = fold.fold(record_of([visit("u", START_MS)], 9), 5)

    assert effects.num_lost == 8
    assert fold.next_offset == 6


def test_a_record_that_is_delivered_again_changes_nothing() -> None:
    online = new_online()
    fold = new_fold(online)
    record = record_of([action("u", "a", START_MS)], 0)
    fold.fold(record, 0)
    before = online.snapshot()

    assert not fold.fold(record, 0).is_new
    assert online.snapshot() == before
