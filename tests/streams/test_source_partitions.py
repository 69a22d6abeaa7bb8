from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.examples import EXAMPLES_VERSION, ExamplesRecord, VisitRow
from streams.partition_clock import ClockConfig
from streams.source_partitions import GapInExamples, PartitionMark, SourcePartitions


def record(
    from_offset: int,
    to_offset: int,
    *,
    partition: int = 0,
    topic_id: str = "t",
    lost_from: int = -1,
) -> ExamplesRecord:
    return ExamplesRecord(
        version=EXAMPLES_VERSION,
        topic_id=topic_id,
        partition=partition,
        from_offset=from_offset,
        to_offset=to_offset,
        lost_from=lost_from,
        replica_offset=0,
        layout="",
        bundle="",
        config="",
        items=[],
        rows=[
            VisitRow(offset=offset, ts_ms=1_000 + offset, user_id="u")
            for offset in range(from_offset, to_offset)
        ],
    )


def offsets(sources: SourcePartitions, found: ExamplesRecord) -> list[int]:
    new = sources.accept(found)
    return [] if new is None else [row.offset for row in new.record.rows]


def test_first_record_defines_the_start() -> None:
    assert offsets(SourcePartitions(ClockConfig()), record(40, 42)) == [40, 41]


def test_known_records_are_dropped_and_overlapping_ones_cut() -> None:
    sources = SourcePartitions(ClockConfig())
    offsets(sources, record(0, 4))

    assert offsets(sources, record(2, 4)) == []
    assert offsets(sources, record(2, 6)) == [4, 5]


def test_record_without_rows_moves_the_partition() -> None:
    sources = SourcePartitions(ClockConfig())
    offsets(sources, record(0, 4))
    offsets(sources, msgspec.structs.replace(record(4, 9), rows=[]))

    assert offsets(sources, record(9, 10)) == [9]


def test_gap_stops_and_moves_nothing() -> None:
    sources = SourcePartitions(ClockConfig())
    offsets(sources, record(0, 4))

    with pytest.raises(GapInExamples, match="from offset 5, expected at most 4"):
        sources.accept(record(5, 6))
    assert offsets(sources, record(4, 6)) == [4, 5]


def test_gap_that_retention_made_is_counted() -> None:
    sources = SourcePartitions(ClockConfig())
    offsets(sources, record(0, 4))
    new = sources.accept(record(9, 10, lost_from=4))

    assert new is not None
    assert new.num_lost == 5


def test_retention_excuses_only_what_it_removed() -> None:
    sources = SourcePartitions(ClockConfig())
    offsets(sources, record(0, 4))

    with pytest.raises(GapInExamples):
        sources.accept(record(9, 10, lost_from=6))


def test_each_partition_may_jump_once_where_examples_were_lost() -> None:
    sources = SourcePartitions(ClockConfig())
    offsets(sources, record(0, 4))
    sources.allow_jumps()

    assert offsets(sources, record(9, 10)) == [9]
    with pytest.raises(GapInExamples):
        sources.accept(record(20, 21))


def test_partitions_and_topics_are_told_apart() -> None:
    sources = SourcePartitions(ClockConfig())
    offsets(sources, record(0, 4))

    assert offsets(sources, record(7, 8, partition=1)) == [7]
    assert offsets(sources, record(0, 2, topic_id="recreated")) == [0, 1]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8), st.integers(0, 1)), max_size=40),
    st.integers(0, 40),
)
def test_each_offset_counts_once_also_across_a_restart(
    chunks: list[tuple[int, int, int]], restart_at: int
) -> None:
    sources = SourcePartitions(ClockConfig())
    taken: dict[int, list[int]] = {0: [], 1: []}
    end = {0: 0, 1: 0}
    for number, (wanted, size, partition) in enumerate(chunks):
        if number == restart_at:
            marks = msgspec.json.decode(
                msgspec.json.encode(sources.mark()), type=tuple[PartitionMark, ...]
            )
            sources = SourcePartitions(ClockConfig())
            sources.restore(marks)
        start = min(wanted, end[partition])
        chunk = record(start, start + size, partition=partition)
        if taken[partition] or start == 0:
            taken[partition] += offsets(sources, chunk)
            end[partition] = max(end[partition], start + size)

    for partition, seen in taken.items():
        assert seen == list(range(end[partition]))
