"""Which slices does a handler get, and where do they start? On a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from faust.types import TP

from deploy.stack.broker import KafkaBroker
from streams.engine import LOG_START, Slice, StartPositionError, read_to_end
from tests.streams.engine.log import append, append_now, cut_log, delete_topic, new_topic, numbered
from tests.streams.engine.running import Reader

pytestmark = pytest.mark.integration


def assert_joined(slices: list[Slice]) -> None:
    for earlier, later in pairwise(slices):
        assert later.base_offset == earlier.next_offset


def test_slices_of_a_partition_join_in_order_and_stay_within_their_size(
    kafka: KafkaBroker,
) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=3)
    append_now(kafka.bootstrap, topic, numbered(6000), partition=None)
    reader = Reader(kafka.bootstrap, topic, settings={"max_slice_records": 300})

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 6000)

    asyncio.run(read())
    for partition in range(3):
        slices = [slice_ for slice_ in reader.slices if slice_.partition == partition]
        assert_joined(slices)
        assert slices[0].base_offset == 0
        assert slices[-1].next_offset == 2000
        assert max(slice_.num_records for slice_ in slices) <= 300
        assert reader.values(partition) == list(range(partition, 6000, 3))
    assert reader.lost == []


def test_start_is_the_checkpoint_and_not_the_committed_offset(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=2)
    append_now(kafka.bootstrap, topic, numbered(200), partition=None)
    starts = {TP(topic, 0): 0, TP(topic, 1): 30}
    reader = Reader(kafka.bootstrap, topic, starts=starts)

    async def read() -> None:
        await commit(kafka.bootstrap, reader.app.conf.id, {TP(topic, 0): 70, TP(topic, 1): 90})
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 170)

    asyncio.run(read())
    for partition in range(2):
        tp = TP(topic, partition)
        slices = [slice_ for slice_ in reader.slices if slice_.partition == partition]
        assert slices[0].base_offset == slices[0].records[0].offset == starts[tp]


async def commit(bootstrap: str, group: str, offsets: dict[TP, int]) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*tp) for tp in offsets])
        await consumer.commit({TopicPartition(*tp): offset for tp, offset in offsets.items()})
    finally:
        await consumer.stop()


def test_what_arrives_later_is_delivered_soon(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=2)
    reader = Reader(kafka.bootstrap, topic)

    async def read() -> float:
        loop = asyncio.get_running_loop()
        async with reader.running():
            await reader.until(lambda r: bool(r.assignments))
            await append(kafka.bootstrap, topic, numbered(1))
            await reader.until(lambda r: r.num_records >= 1)
            appended_s = loop.time()
            await append(kafka.bootstrap, topic, numbered(1), partition=1)
            await reader.until(lambda r: r.num_records >= 2)
            return loop.time() - appended_s

    assert asyncio.run(read()) < 2.0


def test_progress_tells_next_offset_and_lag(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    tp = TP(topic, 0)
    append_now(kafka.bootstrap, topic, numbered(50))
    gate = asyncio.Event()

    async def hold(slice_: Slice) -> None:
        if slice_.base_offset >= 20:
            await gate.wait()

    reader = Reader(kafka.bootstrap, topic, on_slice=hold, settings={"max_slice_records": 10})

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.app.progress().get(tp) == (20, 50))
            assert reader.app.progress()[tp].lag == 30
            gate.set()
            await reader.until(lambda r: r.app.progress().get(tp) == (50, 50))

    asyncio.run(read())


def test_no_more_than_the_allowed_slices_are_fetched_ahead(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(500))
    most_in_flight = 0

    async def look(_: Slice) -> None:
        nonlocal most_in_flight
        consumer = reader.app.started_consumer
        assert consumer is not None
        # Time for the fetcher to overtake, were it not held back.
        await asyncio.sleep(0.02)
        most_in_flight = max(most_in_flight, consumer._ledger.num_unfinished(TP(topic, 0)))

    reader = Reader(
        kafka.bootstrap,
        topic,
        on_slice=look,
        settings={"max_slice_records": 10, "max_buffered_slices": 3},
    )

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 500)

    asyncio.run(read())
    assert most_in_flight == 3


def test_events_that_retention_took_before_the_start_are_reported(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    tp = TP(topic, 0)
    append_now(kafka.bootstrap, topic, numbered(100))
    cut_log(kafka.bootstrap, topic, before=60)
    reader = Reader(kafka.bootstrap, topic, starts={tp: 25})

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 40)

    asyncio.run(read())
    assert reader.lost == [(tp, 35)]
    assert reader.values() == list(range(60, 100))
    assert reader.slices[0].base_offset == 60


def test_log_start_loses_nothing_that_anybody_had_seen(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(100))
    cut_log(kafka.bootstrap, topic, before=60)
    reader = Reader(kafka.bootstrap, topic, starts={TP(topic, 0): LOG_START})

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 40)

    asyncio.run(read())
    assert reader.lost == []
    assert reader.slices[0].base_offset == 60


def test_retention_that_overtakes_the_reader_is_reported_and_passed(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    tp = TP(topic, 0)
    append_now(kafka.bootstrap, topic, [b"%d " % n + b"." * 1000 for n in range(400)])

    async def cut(slice_: Slice) -> None:
        if slice_.base_offset == 0:
            await asyncio.to_thread(cut_log, kafka.bootstrap, topic, before=300)

    reader = Reader(
        kafka.bootstrap,
        topic,
        on_slice=cut,
        settings={"max_slice_records": 5, "max_partition_fetch_bytes": 16 * 1024},
    )

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: bool(r.slices) and r.slices[-1].next_offset == 400)

    asyncio.run(read())
    before = [slice_ for slice_ in reader.slices if slice_.base_offset < 300]
    after = [slice_ for slice_ in reader.slices if slice_.base_offset >= 300]
    assert_joined(before)
    assert_joined(after)
    assert after[0].base_offset == 300
    assert reader.lost == [(tp, 300 - before[-1].next_offset)]


def test_start_past_the_end_of_the_log_is_refused(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(10))
    reader = Reader(kafka.bootstrap, topic, starts={TP(topic, 0): 11})

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records > 0)

    with pytest.raises(StartPositionError, match="its log ends at 10"):
        asyncio.run(read())
    assert reader.slices == []


def test_topic_that_is_created_again_under_a_reader_is_refused(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(10))

    async def checkpoint(slice_: Slice) -> None:
        reader.starts[slice_.tp] = slice_.next_offset

    reader = Reader(
        kafka.bootstrap, topic, on_slice=checkpoint, settings={"metadata_max_age_s": 0.5}
    )

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: r.num_records >= 10)
            await asyncio.to_thread(delete_topic, kafka.bootstrap, topic)
            await asyncio.to_thread(new_topic, kafka.bootstrap, name=topic)
            await append(kafka.bootstrap, topic, numbered(3))
            await reader.until(lambda r: r.num_records >= 11)

    with pytest.raises(StartPositionError, match="created again"):
        asyncio.run(read())
    assert reader.num_records == 10


def test_aborted_transactions_are_not_delivered_and_leave_no_lag(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    tp = TP(topic, 0)
    reader = Reader(kafka.bootstrap, topic, settings={"max_slice_records": 10})

    async def read() -> None:
        async with transactional_producer(kafka.bootstrap, topic) as producer:
            for first, is_meant in ((0, True), (100, False), (20, True), (200, False)):
                await producer.begin_transaction()
                for value in numbered(20, first=first):
                    await producer.send(topic, value=value, partition=0)
                await (producer.commit_transaction() if is_meant else producer.abort_transaction())
        async with reader.running():
            # 80 records, and a marker after each 20 of them.
            await reader.until(lambda r: r.app.progress().get(tp) == (84, 84))

    asyncio.run(read())
    assert reader.values() == list(range(40))
    assert_joined(reader.slices)


@asynccontextmanager
async def transactional_producer(bootstrap: str, topic: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"writer-of-{topic}")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def test_compacted_holes_join_slices(kafka: KafkaBroker) -> None:
    topic = new_topic(
        kafka.bootstrap,
        config={
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.0",
            "max.compaction.lag.ms": "100",
            "delete.retention.ms": "0",
        },
    )
    # The same key throughout: compaction leaves the last record of each segment at most.
    append_now(kafka.bootstrap, topic, numbered(50))

    async def compacted() -> int:
        async with asyncio.timeout(60):
            while True:
                # A new segment, so that the former ones are old enough to be compacted.
                await append(kafka.bootstrap, topic, [b"0"])
                records = await read_to_end([kafka.bootstrap], topic)
                if len(records) < records[-1].offset / 2:
                    return records[-1].offset
                await asyncio.sleep(0.5)

    last_offset = asyncio.run(compacted())
    reader = Reader(kafka.bootstrap, topic, starts={TP(topic, 0): 0})

    async def read() -> None:
        async with reader.running():
            await reader.until(lambda r: bool(r.slices) and r.slices[-1].next_offset > last_offset)

    asyncio.run(read())
    assert reader.num_records < last_offset
    assert reader.slices[0].base_offset == 0
    assert_joined(reader.slices)
    assert reader.lost == []
