"""Does each guard against a wrong position hold by itself? On a real broker, without luck.

What they guard against are races within Faust and aiokafka, too rare to be met by trying; here
each is brought about.
"""

import asyncio

import pytest
from faust.types import TP

from deploy.stack.broker import KafkaBroker
from streams.engine import FatalEngineError, Record, Slice
from streams.engine.consumer import SliceConsumer
from streams.engine.fetching import FetchedSlice
from tests.streams.engine.log import append, append_now, new_topic, numbered
from tests.streams.engine.running import Reader

pytestmark = pytest.mark.integration


@pytest.fixture
def tp(kafka: KafkaBroker) -> TP:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(100))
    return TP(topic, 0)


def consumer_of(reader: Reader) -> SliceConsumer:
    consumer = reader.app.started_consumer
    assert consumer is not None
    return consumer


def foreign_slice(tp: TP) -> Slice:
    record = Record(9_999, b"k", b"9999", 0)
    return Slice(
        topic=tp.topic,
        partition=tp.partition,
        base_offset=9_999,
        next_offset=10_000,
        records=(record,),
    )


def test_nothing_is_taken_before_the_partition_has_been_positioned(
    kafka: KafkaBroker, tp: TP
) -> None:
    taken: list[FetchedSlice] = []

    async def look(_: frozenset[TP]) -> None:
        consumer = consumer_of(reader)
        # As a recovery that ends late would, which belongs to an earlier rebalance.
        consumer.resume_flow()
        fetched = await consumer._thread.fetch_slices([tp], timeout_s=0.5)
        taken.extend(fetched.slices)
        consumer.stop_flow()

    reader = Reader(kafka.bootstrap, tp.topic, before_start=look)

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 100)

    asyncio.run(read())
    assert taken == []
    assert reader.values() == list(range(100))


def test_position_ends_with_the_assignment_that_it_was_made_in(kafka: KafkaBroker, tp: TP) -> None:
    reader = Reader(kafka.bootstrap, tp.topic)

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 100)
            thread = consumer_of(reader)._thread
            position = thread._positions[tp]
            assert thread._current_position(tp) is position
            position.assignment = object()
            await append(kafka.bootstrap, tp.topic, numbered(1, first=100))
            fetched = await thread.fetch_slices([tp], timeout_s=0.5)
            assert fetched.slices == []

    asyncio.run(read())
    assert reader.num_records == 100


def test_positioned_partition_delivers_nothing_before_flow_is_resumed(
    kafka: KafkaBroker, tp: TP
) -> None:
    # Faust clears its queues in between: what came earlier would be lost.
    reader = Reader(kafka.bootstrap, tp.topic)

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 100)
            consumer = consumer_of(reader)
            consumer.stop_flow()
            consumer.flow_active = True
            await consumer._start_at({tp: 50})
            assert consumer._fetchable() == []
            consumer.resume_flow()
            await reader.until(lambda r: r.num_records >= 150)

    asyncio.run(read())
    assert reader.values() == [*range(100), *range(50, 100)]


def test_slice_of_a_former_positioning_is_dropped_and_blocks_nothing(
    kafka: KafkaBroker, tp: TP
) -> None:
    reader = Reader(kafka.bootstrap, tp.topic, settings={"max_buffered_slices": 2})

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 100)
            consumer = consumer_of(reader)
            stale = FetchedSlice(foreign_slice(tp), epoch=consumer._epochs[tp] - 1)
            consumer._held += [stale, stale, stale]
            await reader.until(lambda _: not consumer._held)
            await append(kafka.bootstrap, tp.topic, numbered(10, first=100))
            await reader.until(lambda r: r.num_records >= 110)

    asyncio.run(read())
    assert reader.values() == list(range(110))


def test_slice_that_does_not_join_ends_the_process(kafka: KafkaBroker, tp: TP) -> None:
    reader = Reader(kafka.bootstrap, tp.topic)

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 100)
            consumer = consumer_of(reader)
            consumer._held.append(FetchedSlice(foreign_slice(tp), epoch=consumer._epochs[tp]))
            await reader.until(lambda r: r.num_records > 100)

    with pytest.raises(FatalEngineError, match="was to go on at offset 100, but the slice at 9999"):
        asyncio.run(read())
    assert reader.num_records == 100
    assert not reader.app.control.may_commit


def test_seek_from_elsewhere_is_refused(kafka: KafkaBroker, tp: TP) -> None:
    reader = Reader(kafka.bootstrap, tp.topic)

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 100)
            with pytest.raises(FatalEngineError, match="positions come from start_offsets alone"):
                await consumer_of(reader).seek(tp, 5)

    asyncio.run(read())


def test_nothing_is_committed_beyond_an_unfinished_slice(kafka: KafkaBroker, tp: TP) -> None:
    gate = asyncio.Event()

    async def hold(slice_: Slice) -> None:
        if slice_.base_offset >= 30:
            await gate.wait()

    reader = Reader(
        kafka.bootstrap,
        tp.topic,
        on_slice=hold,
        settings={"max_slice_records": 10, "max_buffered_slices": 4},
    )

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 30)
            consumer = consumer_of(reader)
            await reader.until(lambda _: consumer._ledger.num_unfinished(tp) == 4)
            # A later slice that is acknowledged first must not pull the offset with it.
            later = consumer._ledger._unfinished[tp][2]
            later.acked = True
            assert consumer._new_offset(tp) == 30
            later.acked = False
            gate.set()
            await reader.until(lambda r: r.num_records >= 100)
            assert await consumer.commit()
            assert consumer._committed_offset[tp] == 100

    asyncio.run(read())
