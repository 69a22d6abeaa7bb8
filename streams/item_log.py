"""What does the catalogue say of the items of a finished log? The newest record of each, as codes.

Records are read from a file of JSON lines or from the topic `items`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from featurestore.events import CatalogueItem, EventRefused, decode_item
from models.side_features import SideFeatures
from streams.config import Config
from streams.engine import read_to_end
from streams.event_file import EventFileError, read_values


class ItemLog(NamedTuple):
    """A catalogue, in codes.

    Attributes:
        attributes: Codes by item id, of every item that has some.
        on_offer: Those of these items that may be recommended.
    """

    attributes: Mapping[str, tuple[int, ...]]
    on_offer: frozenset[str]


NO_ITEMS = ItemLog({}, frozenset())


def item_log_of(values: Iterable[bytes | None], side: SideFeatures) -> ItemLog:
    """Return what these records say; of two on one item the later counts.

    Raises:
        EventRefused: One is no record of an item.
    """
    newest: dict[str, CatalogueItem] = {}
    for value in values:
        item = decode_item(value)
        newest[item.item_id] = item
    codes = {
        item_id: side.attribute_codes(item.categories, item.attributes or {})
        for item_id, item in newest.items()
    }
    attributes = {item_id: told for item_id, told in codes.items() if told}
    on_offer = frozenset(item_id for item_id in attributes if newest[item_id].available)
    return ItemLog(attributes, on_offer)


def read_item_file(path: Path, side: SideFeatures) -> ItemLog:
    """Read a file.

    Raises:
        EventFileError: It cannot be read, or a line is no record of an item.
    """
    try:
        return item_log_of(read_values(path), side)
    except EventRefused as refusal:
        raise EventFileError(
            f"{path}: a line is no record of an item ({refusal}); expected JSON lines as the topic "
            "of items has them: docs/events.md"
        ) from refusal


def read_item_topic(config: Config, *, timeout_s: float | None = None) -> ItemLog:
    """Read what the topic of items holds now.

    Records that are none are left out: the worker, which reads the same topic, counts them.

    Args:
        config: Where the topic is, and which attributes count.
        timeout_s: How long that may take; None for as long as it takes.

    Raises:
        KafkaError: No broker can be reached.
        TimeoutError: It took longer.
        UnreadableTopicError: There is no such topic.
    """
    reading = read_to_end(config.kafka.brokers, config.kafka.topics.items)
    records = asyncio.run(asyncio.wait_for(reading, timeout_s))
    return item_log_of((record.value for record in records if _is_item(record.value)), config.side)


def _is_item(value: bytes | None) -> bool:
    try:
        decode_item(value)
    except EventRefused:
        return False
    return True
