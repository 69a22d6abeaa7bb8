"""How does a process read a whole topic, such as the catalogue, and then follow it?

Without a consumer group: every process gets every record, and nothing is committed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from streams.engine.errors import UnreadableTopicError
from streams.engine.slices import Record

logger = logging.getLogger(__name__)

OnRecords = Callable[[int, Sequence[Record]], None]
"""Takes a partition's number and records of it, in offset order."""

POLL_S: Final = 0.5
BACKOFF_S: Final = 1.0
REQUEST_TIMEOUT_MS: Final = 10_000
"""Also how long a topic that is not there is waited for, twice."""


class TopicReader:
    """Reads all of a topic to its end, then follows it.

    Every record is delivered once and in its partition's order, for as long as this reader
    lives. A broker that is away is waited for. The partitions are those that the topic has when
    the reader is opened; ones added later are not read.

    Example:
        async with TopicReader(brokers, "items", on_records=catalogue.apply) as reader:
            await reader.read_to_end()
            await reader.follow()
    """

    def __init__(
        self, brokers: Sequence[str], topic: str, *, on_records: OnRecords, max_records: int = 1000
    ) -> None:
        """Remember what to read.

        Args:
            brokers: Addresses, `host:port`.
            topic: The topic; must exist.
            on_records: Called in the event loop for each run of records of one partition. What
                it raises ends the reading.
            max_records: Most records in one call.
        """
        self._brokers = list(brokers)
        self._topic = topic
        self._on_records = on_records
        self._max_records = max_records
        self._consumer: Any = None
        self._partitions: list[TopicPartition] = []

    async def __aenter__(self) -> Self:
        """Connect and go to the log's start.

        Raises:
            UnreadableTopicError: The topic does not exist.
            KafkaError: No broker can be reached.
        """
        try:
            await self._open()
        except UnknownTopicOrPartitionError:
            # The client concludes it from the time that has passed. To a process that was stopped
            # meanwhile, or starved, that says nothing: it asks again.
            try:
                await self._open()
            except UnknownTopicOrPartitionError as error:
                raise UnreadableTopicError(
                    f"Topic {self._topic!r} does not exist at {', '.join(self._brokers)}; expected "
                    f"it to be there. Create the topics first (`headrace up` does)."
                ) from error
        return self

    async def _open(self) -> None:
        # Subscribed first, because that makes the client learn of the topic's partitions; assigned
        # then, because a subscription starts all over when partitions are added.
        consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            await consumer.start()
            partitions = consumer.partitions_for_topic(self._topic)
            self._partitions = [
                TopicPartition(self._topic, number) for number in sorted(partitions)
            ]
            consumer.unsubscribe()
            consumer.assign(self._partitions)
            await consumer.seek_to_beginning(*self._partitions)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def read_to_end(self) -> int:
        """Deliver everything up to the end that the log has now.

        Returns:
            Number of records delivered.
        """
        ends = await self._log_ends()
        num_records = 0
        while not await self._has_reached(ends):
            num_records += await self._deliver_some()
        return num_records

    async def follow(self) -> None:
        """Deliver what comes, until cancelled."""
        while True:
            await self._deliver_some()

    async def _deliver_some(self) -> int:
        try:
            fetched = await self._consumer.getmany(
                timeout_ms=int(POLL_S * 1000), max_records=self._max_records
            )
        except KafkaError as error:
            if not error.retriable:
                raise
            logger.warning("Reading %s failed, trying again: %r", self._topic, error)
            await asyncio.sleep(BACKOFF_S)
            return 0
        num_records = 0
        for tp, records in fetched.items():
            num_records += len(records)
            self._on_records(
                tp.partition,
                [Record(r.offset, r.key, r.value, r.timestamp, r.headers) for r in records],
            )
        return num_records

    async def _has_reached(self, ends: dict[TopicPartition, int]) -> bool:
        for tp, end in ends.items():
            if await self._consumer.position(tp) < end:
                return False
        return True

    async def _log_ends(self) -> dict[TopicPartition, int]:
        while True:
            try:
                ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._partitions)
            except KafkaError as error:
                logger.warning("The end of %s is not known yet: %r", self._topic, error)
                await asyncio.sleep(BACKOFF_S)
            else:
                return ends


async def read_to_end(brokers: Sequence[str], topic: str) -> list[Record]:
    """All records that a topic has now, partition after partition.

    Raises:
        UnreadableTopicError: The topic does not exist.
    """
    by_partition: dict[int, list[Record]] = {}

    def collect(partition: int, records: Sequence[Record]) -> None:
        by_partition.setdefault(partition, []).extend(records)

    async with TopicReader(brokers, topic, on_records=collect) as reader:
        await reader.read_to_end()
    return [record for partition in sorted(by_partition) for record in by_partition[partition]]
