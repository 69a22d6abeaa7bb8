"""Slices that wait: in order, joined without a gap, acknowledged one by one, and bounded."""

import asyncio

from streams.engine import Record, Slice
from streams.worker.waiting_slices import WaitingSlices


def slice_of(partition: int, base_offset: int, num: int, hole: int = 0) -> Slice:
    return Slice(
        topic="events",
        partition=partition,
        base_offset=base_offset,
        next_offset=base_offset + num + hole,
        records=tuple(Record(base_offset + place, None, b"x", 0) for place in range(num)),
    )


def test_what_waits_of_a_partition_is_taken_as_one() -> None:
    async def story() -> None:
        acked: list[str] = []
        waiting = WaitingSlices()
        await waiting.put(
            slice_of(0, 10, 2, hole=1), lambda: acked.append("first"), max_records=100
        )
        await waiting.put(
            slice_of(1, 0, 5), lambda: acked.append("of another partition"), max_records=100
        )
        await waiting.put(slice_of(0, 13, 3), lambda: acked.append("second"), max_records=100)
        assert waiting.num_records(0) == 5

        taken = waiting.take(0, max_records=100)

        assert (taken.slice_.base_offset, taken.slice_.next_offset) == (10, 16)
        assert [record.offset for record in taken.slice_.records] == [10, 11, 13, 14, 15]
        assert waiting.num_records(0) == 0
        assert waiting.num_records(1) == 5
        assert not acked
        waiting.finish(taken)
        assert acked == ["first", "second"]

    asyncio.run(story())


def test_no_more_is_taken_than_one_step_may_hold_but_one_slice_always() -> None:
    async def story() -> None:
        waiting = WaitingSlices()
        for number in range(4):
            await waiting.put(slice_of(0, 10 * number, 10), lambda: None, max_records=100)

        assert waiting.take(0, max_records=25).slice_.next_offset == 20
        assert waiting.take(0, max_records=5).slice_.next_offset == 30
        assert waiting.take(0, max_records=10).slice_.next_offset == 40

    asyncio.run(story())


def test_no_slice_comes_in_while_too_much_is_unfinished() -> None:
    async def story() -> None:
        waiting = WaitingSlices()
        await waiting.put(slice_of(0, 0, 9), lambda: None, max_records=10)
        await waiting.put(slice_of(1, 0, 50), lambda: None, max_records=10)
        last = asyncio.create_task(waiting.put(slice_of(0, 9, 1), lambda: None, max_records=10))
        waiting.finish(waiting.take(0, max_records=100))
        await asyncio.sleep(0.01)
        assert not last.done()

        # Where more may wait, nothing keeps the next one out.
        await waiting.put(slice_of(2, 0, 1), lambda: None, max_records=100)
        waiting.finish(waiting.take(1, max_records=100))
        await last
        assert waiting.num_records(0) == 1

    asyncio.run(story())
