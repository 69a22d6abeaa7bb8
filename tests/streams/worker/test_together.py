"""Chunks computed together: in the order of their coming, within limits, and none forgotten."""

import asyncio
from collections.abc import Sequence

import pytest

from featurestore.events import UserId, Visit
from streams.examples import ExamplesRecord
from streams.pipeline.list_requests import Trigger
from streams.pipeline.pipeline import ChunkInput, Effects
from streams.worker.together import Together
from tests.streams.taught import chunk_of

RECORD = ExamplesRecord(
    version=1,
    topic_id="topic",
    partition=0,
    from_offset=0,
    to_offset=1,
    lost_from=-1,
    replica_offset=0,
    layout="",
    bundle="",
    config="",
    items=[],
    rows=[],
)


def chunk(name: int, num_events: int = 1) -> ChunkInput:
    visits = [
        Visit(event_id=f"{name}-{number}", user_id=UserId("u"), ts_ms=1)
        for number in range(num_events)
    ]
    return ChunkInput(chunk_of(*visits, from_offset=name), {}, -1, wants_lists=True)


class Computer:
    """Computes nothing, and remembers what it was given together."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self._error = error

    def compute(self, chunks: Sequence[ChunkInput]) -> list[Effects]:
        self.batches.append([one.chunk.from_offset for one in chunks])
        if self._error is not None:
            raise self._error
        return [self.effects(one.chunk.from_offset) for one in chunks]

    def effects(self, name: int) -> Effects:
        return Effects(
            states={},
            lists={},
            owed={UserId(str(name)): Trigger("e", None)},
            record=RECORD,
            outcomes={},
        )


def test_chunks_that_wait_for_the_turn_are_computed_in_one_go() -> None:
    async def story() -> None:
        turn, computer = asyncio.Lock(), Computer()
        together = Together(computer.compute, turn, max_events=5)
        async with turn:
            asked = [
                asyncio.create_task(together.effects_of(chunk(name, num)))
                for name, num in ((1, 2), (2, 2), (3, 2), (4, 9), (5, 1))
            ]
            await asyncio.sleep(0)

        found = await asyncio.gather(*asked)

        assert computer.batches == [[1, 2], [3], [4], [5]]
        assert [next(iter(one.owed)) for one in found] == ["1", "2", "3", "4", "5"]

    asyncio.run(story())


def test_those_computed_in_one_go_go_on_at_the_same_moment() -> None:
    async def story() -> None:
        together = Together(Computer().compute, asyncio.Lock(), max_events=5)
        told: list[int] = []

        async def ask(name: int) -> None:
            await together.effects_of(chunk(name))
            told.append(name)

        asked = [asyncio.create_task(ask(name)) for name in (1, 2, 3)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        # What they do next, such as logging a record, can then be done together.
        assert told == [1, 2, 3]

    asyncio.run(story())


def test_others_have_their_turn_between_two_computations() -> None:
    async def story() -> None:
        turn, computer = asyncio.Lock(), Computer()
        together = Together(computer.compute, turn, max_events=1)
        computed_before: list[list[int]] = []

        async def other() -> None:
            async with turn:
                computed_before.extend(computer.batches)

        async with turn:
            asked = [asyncio.create_task(together.effects_of(chunk(name))) for name in (1, 2)]
            # They ask, and what computes them waits for its turn.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            late = asyncio.create_task(other())
            await asyncio.sleep(0)
        await asyncio.gather(late, *asked)

        assert computed_before == [[1]]
        assert computer.batches == [[1], [2]]

    asyncio.run(story())


def test_each_hears_why_its_computation_failed_and_the_next_goes_on() -> None:
    async def story() -> None:
        turn = asyncio.Lock()
        together = Together(Computer(ValueError("bad")).compute, turn, max_events=5)
        async with turn:
            asked = [asyncio.create_task(together.effects_of(chunk(name))) for name in (1, 2)]
            await asyncio.sleep(0)

        for one in asked:
            with pytest.raises(ValueError, match="bad"):
                await one
        with pytest.raises(ValueError, match="bad"):
            await together.effects_of(chunk(3))

    asyncio.run(story())


def test_each_hears_when_an_answer_is_missing() -> None:
    async def story() -> None:
        together = Together(lambda _: [], asyncio.Lock(), max_events=5)
        with pytest.raises(ValueError, match="shorter"):
            await asyncio.wait_for(together.effects_of(chunk(1)), 5)

    asyncio.run(story())


def test_who_gives_up_waiting_holds_nobody_up() -> None:
    async def story() -> None:
        turn, computer = asyncio.Lock(), Computer()
        together = Together(computer.compute, turn, max_events=5)
        async with turn:
            first, second = (
                asyncio.create_task(together.effects_of(chunk(name, num)))
                for name, num in ((1, 5), (2, 1))
            )
            await asyncio.sleep(0)
            first.cancel()

        assert next(iter((await second).owed)) == "2"
        assert first.cancelled()

    asyncio.run(story())


def test_all_who_rest_wake_together() -> None:
    async def story() -> None:
        together = Together(Computer().compute, asyncio.Lock(), max_events=5)
        await together.effects_of(chunk(1))
        woken: list[int] = []

        async def rest(name: int) -> None:
            await together.rest()
            woken.append(name)

        await asyncio.gather(rest(1), rest(2))
        assert sorted(woken) == [1, 2]

    asyncio.run(story())
