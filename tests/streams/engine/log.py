"""Topics to read, for the engine's tests."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition
from kafka import KafkaAdminClient


def new_topic(
    bootstrap: str,
    *,
    num_partitions: int = 1,
    name: str | None = None,
    config: Mapping[str, str] | None = None,
) -> str:
    """Create a topic; a name of its own unless one is given."""
    topic = name or f"engine-{uuid.uuid4().hex[:12]}"
    wanted = {
        topic: {
            "num_partitions": num_partitions,
            "replication_factor": 1,
            "configs": dict(config or {}),
        }
    }
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics(wanted)
        admin.wait_for_topics([topic])
    finally:
        admin.close()
    return topic


def delete_topic(bootstrap: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.delete_topics([topic])
    finally:
        admin.close()


def cut_log(bootstrap: str, topic: str, *, partition: int = 0, before: int) -> None:
    """Remove what lies before an offset, as retention does."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.delete_records({TopicPartition(topic, partition): before})
    finally:
        admin.close()


async def append(
    bootstrap: str, topic: str, values: Iterable[bytes], *, partition: int | None = 0
) -> None:
    """Append values to one partition, or to all in turn."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    await producer.start()
    try:
        num_partitions = len(await producer.partitions_for(topic))
        for index, value in enumerate(values):
            where = index % num_partitions if partition is None else partition
            await producer.send(topic, value=value, key=b"k", partition=where)
    finally:
        await producer.stop()


def numbered(num: int, *, first: int = 0) -> Sequence[bytes]:
    """Values that tell their number."""
    return [str(number).encode() for number in range(first, first + num)]


def append_now(
    bootstrap: str, topic: str, values: Iterable[bytes], *, partition: int | None = 0
) -> None:
    asyncio.run(append(bootstrap, topic, values, partition=partition))
