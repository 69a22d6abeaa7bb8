"""Slices that wait: in order, joined without a gap, acknowledged one by one."""

from streams.engine import Record, Slice
from streams.waiting_slices import WaitingSlices


def slice_of(partition: int, base_offset: int, num: int, hole: int = 0) -> Slice:
    return Slice(
        topic="events",
        partition=partition,
        base_offset=base_offset,
        next_offset=base_offset + num + hole,
        records=tuple(Record(base_offset + place, None, b"x", 0) for place in range(num)),
    )


def test_what_waits_of_a_partition_is_taken_as_one() -> None:
    waiting, acked = WaitingSlices(), []
    waiting.put(slice_of(0, 10, 2, hole=1), lambda: acked.append("first"))
    waiting.put(slice_of(1, 0, 5), lambda: acked.append("of another partition"))
    waiting.put(slice_of(0, 13, 3), lambda: acked.append("second"))
    assert waiting.num_records(0) == 5

    taken = waiting.take(0, max_records=100)

    assert (taken.slice_.base_offset, taken.slice_.next_offset) == (10, 16)
    assert [record.offset for record in taken.slice_.records] == [10, 11, 13, 14, 15]
    assert waiting.num_records(0) == 0
    assert waiting.num_records(1) == 5
    for ack in taken.acks:
        ack()
    assert acked == ["first", "second"]


def test_no_more_is_taken_than_one_step_may_hold_but_one_slice_always() -> None:
    waiting = WaitingSlices()
    for number in range(4):
        waiting.put(slice_of(0, 10 * number, 10), lambda: None)

    assert waiting.take(0, max_records=25).slice_.next_offset == 20
    assert waiting.take(0, max_records=5).slice_.next_offset == 30
    assert waiting.take(0, max_records=10).slice_.next_offset == 40
