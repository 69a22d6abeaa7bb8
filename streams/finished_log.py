"""How does a finished log become what offline models learn from? Its positive actions, by time.

An event file or what the topic `events` holds now; one action a row, each user's in order. Whoever
wants all events of either takes `values_of`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.actions import Effect
from featurestore.events import Action, EventRefused, decode_event
from models.history import History, HistoryEvent
from streams.config import Config
from streams.engine import read_to_end
from streams.event_file import read_values

FROM_KAFKA: Final = "kafka"
"""What the command line calls the topic `events`."""


class LogValues(NamedTuple):
    """The events of a log, undecoded.

    Attributes:
        name: Of the file, or of the topic.
        read: Gives them from the first on, every time.
    """

    name: str
    read: Callable[[], Iterable[bytes]]


class FinishedLog(NamedTuple):
    """A log, and how it came about.

    Attributes:
        name: Of the file, or of the topic.
        history: Its positive actions.
        times_ms: Event time of each row of the history, ascending; the history has whole seconds.
        digest: blake2b-128 of its events' bytes.
        refused: Events that are none, by reason.
    """

    name: str
    history: History
    times_ms: npt.NDArray[np.int64]
    digest: str
    refused: dict[str, int]


def values_of(source: str, config: Config) -> LogValues:
    """Open an event file or, for `kafka`, read the topic `events` to its present end.

    A topic's events are put in the order in which the broker appended them, whatever partition they
    are of; that takes a topic with `message.timestamp.type=LogAppendTime`, as `headrace up` makes.

    Raises:
        UnreadableTopicError: There is no such topic.
        KafkaError: No broker can be reached.
    """
    if source == FROM_KAFKA:
        topic = config.kafka.topics.events
        records = asyncio.run(read_to_end(config.kafka.brokers, topic))
        records.sort(key=lambda record: record.append_ms)
        values = [record.value or b"" for record in records]
        return LogValues(topic, lambda: values)
    path = Path(source)
    return LogValues(path.name, lambda: read_values(path))


def read_log(source: str, config: Config) -> FinishedLog:
    """Read the positive actions of an event file or of what Kafka holds.

    Raises:
        EventFileError: The file cannot be read.
        UnreadableTopicError: There is no such topic.
        KafkaError: No broker can be reached.
    """
    values = values_of(source, config)
    return log_of(values.name, values.read(), config)


def log_of(name: str, values: Iterable[bytes], config: Config) -> FinishedLog:
    """Return the log of these events; those of equal time keep their order."""
    table, digest = config.action_table(), blake2b(digest_size=16)
    refused: Counter[str] = Counter()
    actions: list[tuple[int, HistoryEvent]] = []
    for value in values:
        digest.update(value)
        try:
            event = decode_event(value)
        except EventRefused as refusal:
            refused[str(refusal.reason)] += 1
            continue
        if isinstance(event, Action) and event.item_id is not None:
            spec = table.spec(event.action)
            if spec.effect is Effect.POSITIVE:
                action = HistoryEvent(
                    user_id=event.user_id,
                    time_s=event.ts_ms // 1000,
                    action=spec.code,
                    item_id=event.item_id,
                )
                actions.append((event.ts_ms, action))
    # Partitions of a topic come one after the other.
    actions.sort(key=lambda one: one[0])
    history = History(config.trainer.max_actions)
    history.append((action for _, action in actions), from_offset=0, to_offset=1)
    # The history may have dropped the oldest.
    times_ms = np.array([ts_ms for ts_ms, _ in actions[history.first_row :]], np.int64)
    return FinishedLog(name, history, times_ms, digest.hexdigest(), dict(sorted(refused.items())))
