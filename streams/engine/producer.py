"""How is a record appended so that we know that it is, whatever the broker is going through?"""

# ruff: noqa: SLF001  (aiokafka does not tell otherwise that its sender has died)

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from mode import Service
from typing_extensions import override

from streams.engine.errors import ProduceDeadlineError, ProduceError

logger = logging.getLogger(__name__)

HOPELESS: Final = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
"""As large as a record of `examples`, a whole chunk of featured rows, may be."""
MAX_BATCH_BYTES: Final = 1024 * 1024
"""Most bytes of records that go to a partition in one request: the next one waits for its answer,
and aiokafka's default of 16 KiB is a single record of `examples`."""
FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 5.0


class OutgoingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record to append. Without a partition, the key's murmur2 hash chooses it, as in Java."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class AckedProducer(Service):
    """An idempotent producer that waits for the broker for as long as it takes.

    Connects at the first use. It retries until every in-sync replica has the records: a broker
    that is away blocks the caller, and drops nothing. Records of one call reach a partition in
    their order. Broker restarts neither lose nor repeat a record; only where the producer
    itself has to be replaced (its session was lost) may records of the call in progress be
    there twice.
    """

    def __init__(
        self, *, brokers: Sequence[str], max_request_bytes: int = MAX_REQUEST_BYTES
    ) -> None:
        """Remember where to connect.

        Args:
            brokers: Addresses, `host:port`.
            max_request_bytes: Largest record; the topic's `max.message.bytes` must allow it, and
                `MAX_BATCH_BYTES`.
        """
        self._brokers = list(brokers)
        self._max_request_bytes = max_request_bytes
        self._producer: AIOKafkaProducer | None = None
        self._connecting: asyncio.Lock | None = None
        super().__init__()

    async def produce_acked(
        self, topic: str, records: Iterable[OutgoingRecord], *, deadline_s: float | None = None
    ) -> None:
        """Append records, and return when all in-sync replicas have all of them.

        Args:
            topic: Where to.
            records: What; may be empty.
            deadline_s: Give up after this time. None: never.

        Raises:
            ProduceError: The broker will never take a record: too large, or not authorised.
            ProduceDeadlineError: The deadline has passed. Some records may be, or still get,
                appended: end the process, and start again from the checkpoint.
        """
        unacked = list(records)
        try:
            async with asyncio.timeout(deadline_s):
                await self._produce_until_acked(topic, unacked)
        except TimeoutError as error:
            raise ProduceDeadlineError(
                f"{len(unacked)} records to {topic} were not acknowledged within {deadline_s} s; "
                f"is the broker at {', '.join(self._brokers)} up, with enough in-sync replicas?"
            ) from error

    async def _produce_until_acked(self, topic: str, unacked: list[OutgoingRecord]) -> None:
        backoff_s = FIRST_BACKOFF_S
        while unacked:
            num_before = len(unacked)
            producer: AIOKafkaProducer | None = None
            try:
                producer = await self._connected()
                await self._produce_once(producer, topic, unacked)
            except HOPELESS as error:
                raise ProduceError(
                    f"{topic} refuses a record for good: {type(error).__name__}: {error}"
                ) from error
            except (KafkaError, OSError) as error:
                logger.warning("Producing to %s failed, trying again: %r", topic, error)
                await self._discard(producer)
                backoff_s = FIRST_BACKOFF_S if len(unacked) < num_before else backoff_s * 2
                await asyncio.sleep(min(backoff_s, MAX_BACKOFF_S))

    async def _produce_once(
        self, producer: AIOKafkaProducer, topic: str, unacked: list[OutgoingRecord]
    ) -> None:
        """Try all; leave in `unacked` what follows the acknowledged head."""
        futures: list[asyncio.Future[Any]] = []
        # The producer's own task delivers. Should it die, everything else here waits for ever.
        sender = producer._sender.sender_task
        sending = asyncio.create_task(_send_all(producer, topic, list(unacked), futures))
        try:
            await asyncio.wait({sending, sender}, return_when=asyncio.FIRST_COMPLETED)
            while not sender.done() and (waiting := _not_done(futures)):
                await asyncio.wait({*waiting, sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
        num_acked = 0
        while num_acked < len(futures) and _is_acked(futures[num_acked]):
            num_acked += 1
        del unacked[:num_acked]
        if unacked:
            _raise_why(sending, futures[num_acked:])

    async def _connected(self) -> AIOKafkaProducer:
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._brokers,
                    enable_idempotence=True,
                    acks="all",
                    max_request_size=self._max_request_bytes,
                    max_batch_size=MAX_BATCH_BYTES,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        current = self._producer
        # Another caller may have replaced it already.
        if current is not producer or current is None:
            return
        self._producer = None
        # Stopping flushes; what is unacknowledged is ours to repeat, so do not wait for it.
        current._sender.sender_task.cancel()
        await current.stop()

    @override
    async def on_stop(self) -> None:
        """Disconnect."""
        await self._discard(self._producer)


async def _send_all(
    producer: AIOKafkaProducer,
    topic: str,
    records: list[OutgoingRecord],
    futures: list[asyncio.Future[Any]],
) -> None:
    for record in records:
        future = await producer.send(
            topic,
            value=record.value,
            key=record.key,
            partition=record.partition,
            headers=list(record.headers) or None,
        )
        futures.append(future)


def _not_done(futures: list[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
    return {future for future in futures if not future.done()}


def _is_acked(future: asyncio.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _raise_why(sending: asyncio.Task[None], unacked: list[asyncio.Future[Any]]) -> NoReturn:
    ended = [future for future in (*unacked, sending) if future.done() and not future.cancelled()]
    # All are asked: asyncio complains of an exception that nobody has looked at.
    errors = [error for future in ended if (error := future.exception()) is not None]
    raise errors[0] if errors else KafkaError("the producer has come to its end")
