"""What does the acknowledged producer promise while the broker comes and goes?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.stack.broker import KafkaBroker
from streams.engine import (
    AckedProducer,
    OutgoingRecord,
    ProduceDeadlineError,
    ProduceError,
    read_to_end,
)
from tests.streams.engine.log import new_topic

pytestmark = pytest.mark.integration


@asynccontextmanager
async def started(kafka: KafkaBroker, **settings: int) -> AsyncIterator[AckedProducer]:
    producer = AckedProducer(brokers=[kafka.bootstrap], **settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def numbered_records(num: int) -> list[OutgoingRecord]:
    return [OutgoingRecord(value=str(number).encode(), partition=0) for number in range(num)]


def values_of(kafka: KafkaBroker, topic: str) -> list[int]:
    records = asyncio.run(read_to_end([kafka.bootstrap], topic))
    return [int(record.value or b"-1") for record in records]


def test_records_are_there_in_order_when_it_returns(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)

    async def produce() -> int:
        async with started(kafka) as producer:
            await producer.produce_acked(topic, numbered_records(2_000))
            return len(await read_to_end([kafka.bootstrap], topic))

    assert asyncio.run(produce()) == 2_000
    assert values_of(kafka, topic) == list(range(2_000))


def test_key_headers_and_tombstones_arrive(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    record = OutgoingRecord(value=None, key=b"i1", headers=(("reason", b"future"),))

    async def produce() -> None:
        async with started(kafka) as producer:
            await producer.produce_acked(topic, [record])

    asyncio.run(produce())
    (read,) = asyncio.run(read_to_end([kafka.bootstrap], topic))
    assert (read.key, read.value, read.headers) == (b"i1", None, (("reason", b"future"),))


def test_nothing_to_produce_needs_no_broker() -> None:
    async def produce() -> None:
        producer = AckedProducer(brokers=["127.0.0.1:1"])
        await producer.produce_acked("events", [])

    asyncio.run(produce())


@pytest.mark.chaos
def test_broker_that_is_away_blocks_and_drops_nothing(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)

    async def produce() -> None:
        async with started(kafka) as producer:
            await producer.produce_acked(topic, numbered_records(10))
            await asyncio.to_thread(kafka.kill)
            more = [OutgoingRecord(value=b"%d" % n, partition=0) for n in range(10, 500)]
            blocked = asyncio.create_task(producer.produce_acked(topic, more))
            done, _ = await asyncio.wait({blocked}, timeout=2.0)
            assert not done
            kafka.start()  # not in another thread: the broker would die with that
            async with asyncio.timeout(30):
                await blocked

    asyncio.run(produce())
    assert values_of(kafka, topic) == list(range(500))


@pytest.mark.chaos
def test_producer_that_never_found_a_broker_waits_for_one(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    kafka.kill()

    async def produce() -> None:
        async with started(kafka) as producer:
            blocked = asyncio.create_task(producer.produce_acked(topic, numbered_records(5)))
            done, _ = await asyncio.wait({blocked}, timeout=1.0)
            assert not done
            kafka.start()  # not in another thread: the broker would die with that
            async with asyncio.timeout(30):
                await blocked

    asyncio.run(produce())
    assert values_of(kafka, topic) == list(range(5))


@pytest.mark.chaos
def test_deadline_ends_the_wait(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)

    async def produce() -> None:
        async with started(kafka) as producer:
            await producer.produce_acked(topic, numbered_records(1))
            await asyncio.to_thread(kafka.kill)
            await producer.produce_acked(topic, numbered_records(7), deadline_s=1.0)

    with pytest.raises(ProduceDeadlineError, match=r"7 records .* not acknowledged within 1\.0 s"):
        asyncio.run(produce())


def test_record_that_is_too_large_is_refused_for_good(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)

    async def produce() -> None:
        async with started(kafka, max_request_bytes=1_000) as producer:
            await producer.produce_acked(topic, [OutgoingRecord(value=b"x" * 2_000)])

    with pytest.raises(ProduceError, match="MessageSizeTooLargeError"):
        asyncio.run(produce())
    assert values_of(kafka, topic) == []


def test_record_that_the_topic_does_not_allow_is_refused_for_good(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap, config={"max.message.bytes": "1000"})

    async def produce() -> None:
        async with started(kafka) as producer:
            await producer.produce_acked(topic, [OutgoingRecord(value=b"x" * 2_000)])

    with pytest.raises(ProduceError, match="MessageSizeTooLargeError"):
        asyncio.run(produce())


@pytest.mark.chaos
def test_callers_that_share_a_producer_all_get_through(kafka: KafkaBroker) -> None:
    topics = [new_topic(kafka.bootstrap) for _ in range(4)]

    async def produce() -> None:
        async with started(kafka) as producer:
            await producer.produce_acked(topics[0], numbered_records(1))
            callers = [
                asyncio.create_task(producer.produce_acked(topic, numbered_records(200)))
                for topic in topics
            ]
            # The session is lost for all of them at once.
            assert producer._producer is not None
            producer._producer._sender.sender_task.cancel()
            async with asyncio.timeout(30):
                await asyncio.gather(*callers)

    asyncio.run(produce())
    for topic in topics:
        assert sorted(set(values_of(kafka, topic))) == list(range(200))
