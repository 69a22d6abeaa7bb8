"""Which topic is this really, and how many partitions has it?

A topic that was deleted and created again has the same name and another id. aiokafka does not tell
the id, so kafka-python is asked; the functions block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streams.errors import StreamsError
from streams.retrying import until_answered

_TIMEOUT_MS: Final = 10_000


class TopicUnknown(StreamsError):
    """The broker does not answer, or has no such topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicIdentity:
    """What a checkpoint must agree with.

    Attributes:
        name: The topic's name.
        topic_id: Kafka's id of it, 32 hexadecimal digits.
        num_partitions: How many it has.
    """

    name: str
    topic_id: str
    num_partitions: int


def identify_topic(brokers: Sequence[str], name: str) -> TopicIdentity:
    """Ask the broker; blocks up to about ten seconds.

    Raises:
        TopicUnknown: No broker answers, or the topic does not exist.
    """
    try:
        with closing(
            KafkaAdminClient(
                bootstrap_servers=list(brokers),
                bootstrap_timeout_ms=_TIMEOUT_MS,
                request_timeout_ms=_TIMEOUT_MS,
            )
        ) as admin:
            described = admin.describe_topics([name])[0]
    except (KafkaError, OSError) as error:
        raise TopicUnknown(
            f"no broker at {', '.join(brokers)} describes topic {name!r}: {error!r}; is it up?"
        ) from error
    if described["error_code"] != 0:
        raise TopicUnknown(
            f"topic {name!r} does not exist at {', '.join(brokers)}; create the topics first "
            "(`headrace up` does)"
        )
    return TopicIdentity(
        name=name,
        topic_id=str(described["topic_id"]).replace("-", ""),
        num_partitions=len(described["partitions"]),
    )


async def await_topic(
    brokers: Sequence[str],
    name: str,
    *,
    max_pause_s: float,
    on_fault: Callable[[], None],
) -> TopicIdentity:
    """Ask again, without blocking the event loop, until the broker knows the topic.

    Args:
        brokers: Addresses, `host:port`.
        name: Of the topic.
        max_pause_s: Longest pause between two attempts.
        on_fault: See `until_answered`.
    """
    return await until_answered(
        lambda: asyncio.to_thread(identify_topic, brokers, name),
        transient=TopicUnknown,
        max_pause_s=max_pause_s,
        on_fault=on_fault,
    )
