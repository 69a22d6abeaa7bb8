"""Does a reader without a group get all of a topic, and what comes after?"""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.stack.broker import KafkaBroker
from streams.engine import Record, TopicReader, UnreadableTopicError, read_to_end
from tests.streams.engine.log import append, append_now, cut_log, new_topic, numbered

pytestmark = pytest.mark.integration


def values_of(records: Sequence[Record]) -> list[int]:
    return [int(record.value or b"-1") for record in records]


def test_everything_that_is_there_is_read(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=3)
    append_now(kafka.bootstrap, topic, numbered(3_000), partition=None)
    records = asyncio.run(read_to_end([kafka.bootstrap], topic))
    assert values_of(records) == [
        number for partition in range(3) for number in range(partition, 3_000, 3)
    ]


def test_empty_topic_ends_at_once(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap, num_partitions=2)
    assert asyncio.run(read_to_end([kafka.bootstrap], topic)) == []


def test_topic_whose_head_is_gone_is_read_from_where_it_begins(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(100))
    cut_log(kafka.bootstrap, topic, before=100)
    append_now(kafka.bootstrap, topic, numbered(5, first=100))
    records = asyncio.run(read_to_end([kafka.bootstrap], topic))
    assert [record.offset for record in records] == list(range(100, 105))


def test_topic_of_which_nothing_is_left_ends_at_once(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(100))
    cut_log(kafka.bootstrap, topic, before=100)
    assert asyncio.run(read_to_end([kafka.bootstrap], topic)) == []


def test_missing_topic_is_named(kafka: KafkaBroker) -> None:
    with pytest.raises(UnreadableTopicError, match="'no-such-topic' does not exist"):
        asyncio.run(read_to_end([kafka.bootstrap], "no-such-topic"))


def test_a_clock_that_jumped_does_not_make_a_topic_missing(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that was stopped while the broker answered: no answer, and time is up."""
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(5))
    start, num_started = AIOKafkaConsumer.start, 0

    async def wakes_late(consumer: AIOKafkaConsumer) -> None:
        nonlocal num_started
        num_started += 1
        if num_started == 1:
            raise UnknownTopicOrPartitionError
        await start(consumer)

    monkeypatch.setattr(AIOKafkaConsumer, "start", wakes_late)

    records = asyncio.run(read_to_end([kafka.bootstrap], topic))

    assert len(records) == 5
    assert num_started == 2


def test_what_comes_later_is_followed(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(10))
    read: list[int] = []

    async def follow() -> None:
        arrived = asyncio.Event()

        def collect(_: int, records: Sequence[Record]) -> None:
            read.extend(values_of(records))
            if len(read) >= 15:
                arrived.set()

        async with TopicReader([kafka.bootstrap], topic, on_records=collect) as reader:
            assert await reader.read_to_end() == 10
            assert read == list(range(10))
            following = asyncio.create_task(reader.follow())
            await append(kafka.bootstrap, topic, numbered(5, first=10))
            async with asyncio.timeout(10):
                await arrived.wait()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(follow())
    assert read == list(range(15))


def test_error_in_the_callback_ends_the_reading(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(3))

    def refuse(_: int, records: Sequence[Record]) -> None:
        raise ValueError(f"bad item at {records[0].offset}")

    async def read() -> None:
        async with TopicReader([kafka.bootstrap], topic, on_records=refuse) as reader:
            await reader.read_to_end()

    with pytest.raises(ValueError, match="bad item at 0"):
        asyncio.run(read())


@pytest.mark.chaos
def test_following_survives_a_restart_of_the_broker(kafka: KafkaBroker) -> None:
    topic = new_topic(kafka.bootstrap)
    append_now(kafka.bootstrap, topic, numbered(10))
    read: list[int] = []

    async def follow() -> None:
        arrived = asyncio.Event()

        def collect(_: int, records: Sequence[Record]) -> None:
            read.extend(values_of(records))
            if len(read) >= 12:
                arrived.set()

        async with TopicReader([kafka.bootstrap], topic, on_records=collect) as reader:
            await reader.read_to_end()
            following = asyncio.create_task(reader.follow())
            await asyncio.to_thread(kafka.kill)
            kafka.start()  # not in another thread: the broker would die with that
            await append(kafka.bootstrap, topic, numbered(2, first=10))
            async with asyncio.timeout(30):
                await arrived.wait()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(follow())
    assert read == list(range(12))
