"""How does a finished log become what offline models learn from? Its positive actions, by time.

An event file or what the topic `events` holds now; one action a row, each user's in order, with the
side features that the configuration names. Whoever wants all events of either takes `values_of`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.actions import Effect
from featurestore.events import Action, EventRefused, Impression, decode_event
from models.history import History, HistoryEvent
from models.moments import Moments
from models.side_features import SideFeatures
from streams.config import Config
from streams.engine import UnreadableTopicError, read_to_end
from streams.event_file import read_values
from streams.item_log import NO_ITEMS, ItemLog, read_item_file, read_item_topic

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
        items_digest: Of the catalogue's records; None where none were read.
        refused: Events that are none, by reason.
    """

    name: str
    history: History
    times_ms: npt.NDArray[np.int64]
    digest: str
    items_digest: str | None
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


def read_log(source: str, config: Config, *, items: Path | None = None) -> FinishedLog:
    """Read the positive actions of an event file or of what Kafka holds.

    Args:
        source: An event file, or `kafka`.
        config: Which actions are positive, and which side features are read.
        items: A file of the catalogue's records; without one there is none for an event file, and
            the topic of items for Kafka.

    Raises:
        EventFileError: A file cannot be read.
        UnreadableTopicError: There is no such topic.
        KafkaError: No broker can be reached.
    """
    values = values_of(source, config)
    told = NO_ITEMS
    if items is not None:
        told = read_item_file(items, config.side)
    elif source == FROM_KAFKA:
        # A shop need not tell anything of its items.
        with contextlib.suppress(UnreadableTopicError):
            told = read_item_topic(config)
    return log_of(values.name, values.read(), config, told)


class _Row(NamedTuple):
    """A positive action, and when and in which context its list was made."""

    ts_ms: int
    user_id: str
    action: int
    item_id: str
    asked_s: int
    contexts: tuple[int, ...]


def log_of(
    name: str, values: Iterable[bytes], config: Config, items: ItemLog = NO_ITEMS
) -> FinishedLog:
    """Return the log of these events; those of equal time keep their order."""
    digest = blake2b(digest_size=16)
    refused: Counter[str] = Counter()
    rows = list(_rows(values, config, digest, refused))
    # Partitions of a topic come one after the other.
    rows.sort(key=lambda row: row.ts_ms)
    side, chosen = _carried(rows, config.side)
    history = History(config.trainer.max_actions, side=side)
    events = (
        HistoryEvent(
            user_id=row.user_id,
            time_s=row.ts_ms // 1000,
            action=row.action,
            item_id=row.item_id,
            asked_s=row.asked_s,
            contexts=tuple(row.contexts[place] for place in chosen),
        )
        for row in rows
    )
    history.append(events, from_offset=0, to_offset=1)
    history.describe(items.attributes, joining=items.on_offer)
    # The history may have dropped the oldest.
    times_ms = np.array([row.ts_ms for row in rows[history.first_row :]], np.int64)
    counts = dict(sorted(refused.items()))
    return FinishedLog(name, history, times_ms, digest.hexdigest(), items.digest, counts)


def _rows(
    values: Iterable[bytes], config: Config, digest: blake2b, refused: Counter[str]
) -> Iterator[_Row]:
    """Yield the positive actions on items in the order of the log.

    A user's list is made at each action and each visit. What it knew of the moment is known of the
    next action: never what that action itself says.
    """
    table, moments = config.action_table(), Moments(config.side)
    for value in values:
        digest.update(value)
        try:
            event = decode_event(value)
        except EventRefused as refusal:
            refused[str(refusal.reason)] += 1
            continue
        if isinstance(event, Impression):
            continue
        made_at = moments.pass_on(event.user_id, event.ts_ms // 1000, event.context)
        if isinstance(event, Action) and event.item_id is not None:
            spec = table.spec(event.action)
            if spec.effect is Effect.POSITIVE:
                yield _Row(event.ts_ms, event.user_id, spec.code, event.item_id, *made_at)


def _carried(rows: Sequence[_Row], side: SideFeatures) -> tuple[SideFeatures, list[int]]:
    """Leave out the context names that no event of the log has a value of.

    Returns:
        What is left, and its places among the names of `side`.
    """
    is_told = np.zeros(len(side.context), np.bool_)
    for row in rows:
        is_told |= np.array(row.contexts, np.bool_)
    chosen = np.flatnonzero(is_told).tolist()
    return replace(side, context=tuple(side.context[place] for place in chosen)), chosen
