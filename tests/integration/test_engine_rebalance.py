"""What does a handler see when partitions move while slices are buffered? On a real broker."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from faust.types import TP

from deploy.stack.broker import KafkaBroker
from streams.engine import Slice, StartPositionError
from tests.streams.engine.log import append_now, new_topic, numbered
from tests.streams.engine.running import Reader

pytestmark = pytest.mark.integration

NUM_PARTITIONS = 4
NUM_RECORDS = 8000


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    topic = new_topic(kafka.bootstrap, num_partitions=NUM_PARTITIONS)
    append_now(kafka.bootstrap, topic, numbered(NUM_RECORDS), partition=None)
    return topic


def assert_every_start_is_honoured(reader: Reader) -> None:
    """After each assignment, a partition goes on exactly where start_offsets put it."""
    expected: dict[TP, int] = {}
    for event in reader.happened:
        if isinstance(event, Slice):
            assert event.base_offset == expected[event.tp]
            expected[event.tp] = event.next_offset
        else:
            expected = dict(event)


async def pause(_: Slice) -> None:
    await asyncio.sleep(0.02)


def slow_reader(kafka: KafkaBroker, topic: str, **settings: object) -> Reader:
    small = {"max_slice_records": 5, "max_buffered_slices": 8}
    starts = {TP(topic, partition): 0 for partition in range(NUM_PARTITIONS)}
    return Reader(
        kafka.bootstrap, topic, starts=starts, on_slice=pause, settings={**small, **settings}
    )


def test_buffered_slices_of_a_former_position_are_never_delivered(
    kafka: KafkaBroker, topic: str
) -> None:
    first = slow_reader(kafka, topic)
    second = slow_reader(kafka, topic)

    async def read() -> None:
        async with first.running():
            await first.until(lambda r: len(r.slices) >= 20)
            async with second.running():
                await second.until(lambda r: len(r.slices) >= 20)
            await first.until(lambda r: len(r.assignments) >= 3)
            num_before = len(first.slices)
            await first.until(lambda r: len(r.slices) >= num_before + 20)

    asyncio.run(read())
    # The checkpoint says 0 at each assignment: nothing buffered from further on may slip through.
    assert_every_start_is_honoured(first)
    assert_every_start_is_honoured(second)
    sizes = [len(tps) for tps in first.assignments]
    assert (sizes[0], min(sizes), sizes[-1]) == (4, 2, 4)


def test_start_offsets_never_runs_while_a_handler_does(kafka: KafkaBroker, topic: str) -> None:
    at_work = 0
    overlaps = 0

    async def work(_: Slice) -> None:
        nonlocal at_work
        at_work += 1
        # Longer than the group takes to rejoin, also on a busy machine.
        await asyncio.sleep(1.0)
        at_work -= 1

    async def load(_: frozenset[TP]) -> None:
        nonlocal overlaps
        overlaps += at_work
        await asyncio.sleep(0.2)
        overlaps += at_work

    first = slow_reader(kafka, topic, revoke_grace_s=0.0)
    first.on_slice, first.before_start = work, load
    second = slow_reader(kafka, topic)

    async def read() -> None:
        async with first.running():
            await first.until(lambda r: len(r.slices) >= 1)
            async with second.running():
                await first.until(lambda r: len(r.assignments) >= 2)
                await second.until(lambda r: len(r.slices) >= 5)

    asyncio.run(read())
    assert overlaps == 0
    assert_every_start_is_honoured(first)


def test_revocation_waits_for_the_slice_in_progress(kafka: KafkaBroker, topic: str) -> None:
    in_progress: set[TP] = set()
    overlaps: list[set[TP]] = []

    async def work(slice_: Slice) -> None:
        in_progress.add(slice_.tp)
        await asyncio.sleep(1.0)
        in_progress.remove(slice_.tp)

    async def look(tps: frozenset[TP]) -> None:
        overlaps.append(in_progress & tps)

    first = slow_reader(kafka, topic, revoke_grace_s=10.0)
    first.on_slice = work
    second = slow_reader(kafka, topic)
    second.before_start = look

    async def read() -> None:
        async with first.running():
            await first.until(lambda r: len(r.slices) >= 1)
            async with second.running():
                await second.until(lambda r: len(r.slices) >= 1)

    asyncio.run(read())
    # The next owner reads its checkpoints when the former owner's last write has been done.
    assert overlaps
    assert not any(overlaps)


def test_many_rebalances_lose_and_reorder_nothing(kafka: KafkaBroker, topic: str) -> None:
    checkpoint = {TP(topic, partition): 0 for partition in range(NUM_PARTITIONS)}
    processed: dict[TP, list[int]] = {tp: [] for tp in checkpoint}
    are_guests_over = asyncio.Event()

    async def process(slice_: Slice) -> None:
        # Slow enough that something is left for every guest.
        await asyncio.sleep(0 if are_guests_over.is_set() else 0.02)
        assert checkpoint[slice_.tp] == slice_.base_offset
        processed[slice_.tp] += [record.offset for record in slice_.records]
        checkpoint[slice_.tp] = slice_.next_offset

    def member() -> Reader:
        reader = slow_reader(kafka, topic)
        reader.starts = checkpoint
        reader.on_slice = process
        return reader

    async def read() -> None:
        steady = member()
        async with AsyncExitStack() as running:
            await running.enter_async_context(steady.running())
            for _ in range(4):
                guest = member()
                async with guest.running():
                    await guest.until(lambda r: len(r.slices) >= 3)
            are_guests_over.set()
            await steady.until(lambda _: sum(map(len, processed.values())) >= NUM_RECORDS)

    asyncio.run(read())
    num_each = NUM_RECORDS // NUM_PARTITIONS
    assert processed == {tp: list(range(num_each)) for tp in checkpoint}


def test_failing_start_offsets_ends_the_process(kafka: KafkaBroker, topic: str) -> None:
    async def fail(_: frozenset[TP]) -> None:
        raise ConnectionError("no store at localhost:1")

    reader = slow_reader(kafka, topic)
    reader.before_start = fail

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: bool(r.slices))

    with pytest.raises(StartPositionError, match="ConnectionError: no store at localhost:1"):
        asyncio.run(read())
    assert reader.slices == []
    assert not reader.app.control.may_commit


def test_start_offsets_that_take_too_long_end_the_process(kafka: KafkaBroker, topic: str) -> None:
    async def hang(_: frozenset[TP]) -> None:
        await asyncio.Event().wait()

    reader = slow_reader(kafka, topic, start_timeout_s=0.5)
    reader.before_start = hang

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: bool(r.slices))

    with pytest.raises(StartPositionError, match=r"not established within 0\.5 s"):
        asyncio.run(read())
    assert reader.slices == []
