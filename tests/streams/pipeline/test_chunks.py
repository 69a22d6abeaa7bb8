"""Cutting a slice: chunks tile its offsets and stay within their bounds."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from featurestore.events import EventRefused, Impression, RefusalReason
from streams.pipeline.chunks import MAX_ITEMS, Chunk, ChunkLimits, chunks_of
from streams.pipeline.decoding import Decoded, DecodedEvent, RefusedRecord
from tests.streams.stream_events import records_of, shown, visit

_kinds = st.lists(st.sampled_from(["visit", "shown", "refused"]), max_size=40)


def decoded_of(kinds: list[str], num_users: int) -> Decoded:
    events, refused = [], []
    for number, kind in enumerate(kinds):
        user_id = f"u{number % num_users}"
        event = shown(user_id) if kind == "shown" else visit(user_id)
        # Every third offset is a hole, as compaction or transactions leave them.
        (record,) = records_of(event, base_offset=100 + number + number // 2)
        if kind == "refused":
            refused.append(RefusedRecord(record, EventRefused(RefusalReason.NOT_JSON, "")))
        else:
            events.append(DecodedEvent(record, event))
    return Decoded(events, refused)


def cut(decoded: Decoded, limits: ChunkLimits | None = None) -> list[Chunk]:
    limits = limits or ChunkLimits(max_events=100, max_triggered=100)
    return list(chunks_of(decoded, partition=2, from_offset=95, to_offset=200, limits=limits))


@given(_kinds, st.integers(1, 6), st.integers(1, 9), st.integers(1, 4))
def test_chunks_tile_the_slice_and_keep_its_records(
    kinds: list[str], num_users: int, max_events: int, max_triggered: int
) -> None:
    decoded = decoded_of(kinds, num_users)

    chunks = cut(decoded, ChunkLimits(max_events=max_events, max_triggered=max_triggered))

    assert chunks[0].from_offset == 95
    assert chunks[-1].to_offset == 200
    assert all(
        before.to_offset == after.from_offset for before, after in itertools.pairwise(chunks)
    )
    assert [one for chunk in chunks for one in chunk.events] == decoded.events
    assert [one for chunk in chunks for one in chunk.refused] == decoded.refused
    for chunk in chunks:
        offsets = [one.record.offset for one in chunk.events]
        offsets += [one.record.offset for one in chunk.refused]
        assert all(chunk.from_offset <= offset < chunk.to_offset for offset in offsets)
        assert len(chunk.events) <= max_events
        users = {one.event.user_id for one in chunk.events if not isinstance(one.event, Impression)}
        assert len(users) <= max_triggered


def test_a_slice_without_events_is_still_one_chunk() -> None:
    (chunk,) = cut(Decoded([], []))

    assert (chunk.from_offset, chunk.to_offset, chunk.events, chunk.refused) == (95, 200, [], [])


def test_what_another_owner_has_done_is_cut_off() -> None:
    (chunk,) = cut(decoded_of(["visit", "refused", "shown", "visit"], 9))

    rest = chunk.after(103)

    assert rest is not None
    assert (rest.from_offset, rest.to_offset) == (103, 200)
    assert [one.record.offset for one in rest.events] == [103, 104]
    assert rest.refused == []
    assert chunk.after(95) is chunk
    assert chunk.after(200) is None


def test_a_record_of_examples_stays_within_what_its_topic_takes() -> None:
    events = [shown(f"u{n}", n + 1, items=[f"i{m}" for m in range(500)]) for n in range(100)]
    pairs = zip(records_of(*events, base_offset=100), events, strict=True)

    chunks = cut(Decoded([DecodedEvent(*pair) for pair in pairs], []))

    assert [len(chunk.events) for chunk in chunks] == [MAX_ITEMS // 500, 100 - MAX_ITEMS // 500]


def test_logged_candidates_count_like_shown_items() -> None:
    events = [visit(f"u{n}", n + 1) for n in range(100)]
    pairs = zip(records_of(*events, base_offset=100), events, strict=True)
    limits = ChunkLimits(max_events=100, max_triggered=100, items_per_trigger=MAX_ITEMS // 30)

    chunks = cut(Decoded([DecodedEvent(*pair) for pair in pairs], []), limits)

    assert [len(chunk.events) for chunk in chunks] == [30, 30, 30, 10]


def test_one_event_that_is_too_large_alone_is_still_one_chunk() -> None:
    limits = ChunkLimits(max_events=10, max_triggered=10, items_per_trigger=MAX_ITEMS + 1)
    (record,) = records_of(visit("u1"), base_offset=100)

    chunks = cut(Decoded([DecodedEvent(record, visit("u1"))], []), limits)

    assert len(chunks) == 1
