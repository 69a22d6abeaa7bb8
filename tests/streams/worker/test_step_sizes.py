"""How much a step holds: little where lists are waited for, several fetches while catching up."""

import asyncio

from streams.pipeline.chunks import chunks_of
from streams.pipeline.decoding import Decoded, DecodedEvent
from streams.sections import RankingConfig, WorkerConfig
from streams.worker.step_sizes import StepSizes
from streams.worker.waiting_slices import WaitingSlices
from tests.streams.stream_events import records_of, visit
from tests.streams.worker.test_waiting_slices import slice_of

WORKER = WorkerConfig(chunk_users=3, chunk_events=10, catch_up_chunk_events=50, slice_events=20)
SIZES = StepSizes(WORKER, RankingConfig(slate_sample_rate=0.01), max_candidates=250)


def taken_while_behind(num_slices: int) -> int:
    """Offset up to which full slices that wait are taken together."""

    async def story() -> int:
        waiting = WaitingSlices()
        room = SIZES.room(is_behind=True)
        for number in range(num_slices):
            await waiting.put(slice_of(0, 20 * number, 20), lambda: None, max_records=room)
        taken = waiting.take(0, max_records=SIZES.at_once(is_behind=True))
        return taken.slice_.next_offset

    return asyncio.run(story())


def chunk_sizes(num_events: int, *, wants_lists: bool) -> list[int]:
    visits = [visit(f"u{number}") for number in range(num_events)]
    events = list(map(DecodedEvent, records_of(*visits, base_offset=0), visits))
    chunks = chunks_of(
        Decoded(events, []),
        partition=0,
        from_offset=0,
        to_offset=num_events,
        limits=SIZES.limits(wants_lists=wants_lists),
    )
    return [len(chunk.events) for chunk in chunks]


def test_while_behind_several_fetches_become_one_step() -> None:
    assert taken_while_behind(num_slices=3) == 40
    assert chunk_sizes(40, wants_lists=False) == [40]


def test_where_lists_are_waited_for_a_fetch_becomes_several_steps() -> None:
    assert SIZES.at_once(is_behind=False) == 20
    assert chunk_sizes(7, wants_lists=True) == [3, 3, 1]


def test_only_while_behind_more_than_a_slice_is_let_in() -> None:
    assert SIZES.room(is_behind=False) == 20
    assert SIZES.room(is_behind=True) == 150


def test_slices_larger_than_a_catch_up_step_are_taken_whole() -> None:
    worker = WorkerConfig(catch_up_chunk_events=50, slice_events=80)
    assert StepSizes(worker, RankingConfig(), max_candidates=1).at_once(is_behind=True) == 80


def test_the_items_of_logged_lists_are_reckoned_with() -> None:
    assert SIZES.limits(wants_lists=True).items_per_trigger == 3
