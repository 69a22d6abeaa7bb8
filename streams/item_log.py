"""What does the catalogue say of the items of a log? The newest record of each, and its codes.

Records are read from a file of JSON lines or from the topic `items`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

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
        digest: Of the records; None where none were read.
    """

    attributes: Mapping[str, tuple[int, ...]]
    on_offer: frozenset[str]
    digest: str | None


_encoder: Final = msgspec.json.Encoder(order="deterministic")

NO_ITEMS: Final = ItemLog({}, frozenset(), None)


def item_log_of(values: Iterable[bytes | None], side: SideFeatures) -> ItemLog:
    """Return what these records say; of two on one item the later counts.

    Raises:
        EventRefused: One is no record of an item.
    """
    return _item_log(_newest(values), side)


def read_item_file(path: Path, side: SideFeatures) -> ItemLog:
    """Read a file, as codes.

    Raises:
        EventFileError: It cannot be read, or a line is no record of an item.
    """
    return _item_log(read_items(path), side)


def read_items(path: Path) -> list[CatalogueItem]:
    """Read a file: the newest record of each item.

    Raises:
        EventFileError: It cannot be read, or a line is no record of an item.
    """
    try:
        return _newest(read_values(path))
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


def _newest(values: Iterable[bytes | None]) -> list[CatalogueItem]:
    return list({item.item_id: item for item in map(decode_item, values)}.values())


def digest_of(items: Iterable[CatalogueItem]) -> str:
    """Return blake2b-128 of records of different items, whatever their order and that of names."""
    digest = blake2b(digest_size=16)
    for item in sorted(items, key=attrgetter("item_id")):
        digest.update(_encoder.encode(item))
    return digest.hexdigest()


def _item_log(items: Sequence[CatalogueItem], side: SideFeatures) -> ItemLog:
    attributes: dict[str, tuple[int, ...]] = {}
    on_offer: list[str] = []
    for item in items:
        if told := side.attribute_codes(item.categories, item.attributes or {}):
            attributes[item.item_id] = told
            if item.available:
                on_offer.append(item.item_id)
    return ItemLog(attributes, frozenset(on_offer), digest_of(items))


def _is_item(value: bytes | None) -> bool:
    try:
        decode_item(value)
    except EventRefused:
        return False
    return True
