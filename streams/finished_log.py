"""How does a finished log become what offline models learn from? Its positive actions, by time.

An event file or what the topic `events` holds now; one action a row, each user's in order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from featurestore.actions import Effect
from featurestore.events import Action, EventRefused, decode_event
from models.history import History, HistoryEvent
from streams.config import Config
from streams.engine import read_to_end
from streams.event_file import read_values

FROM_KAFKA: Final = "kafka"
"""What the command line calls the topic `events`."""


class FinishedLog(NamedTuple):
    """A log, and how it came about.

    Attributes:
        name: Of the file, or of the topic.
        history: Its positive actions.
        digest: blake2b-128 of its events' bytes.
        refused: Events that are none, by reason.
    """

    name: str
    history: History
    digest: str
    refused: dict[str, int]


def read_log(source: str, config: Config) -> FinishedLog:
    """Read an event file or, for `kafka`, the topic `events` to its present end.

    Raises:
        EventFileError: The file cannot be read.
        UnreadableTopicError: There is no such topic.
        KafkaError: No broker can be reached.
    """
    if source == FROM_KAFKA:
        topic = config.kafka.topics.events
        records = asyncio.run(read_to_end(config.kafka.brokers, topic))
        return log_of(topic, (record.value or b"" for record in records), config)
    path = Path(source)
    return log_of(path.name, read_values(path), config)


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
    return FinishedLog(name, history, digest.hexdigest(), dict(sorted(refused.items())))
