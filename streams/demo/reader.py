"""What does one click change? A reader of the demo's own opens a page, clicks, and reads again."""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kafka import KafkaProducer
from redis import Redis

from featurestore.events import Action, Event, Impression, ShownItem, UserId, Visit, encode_event
from featurestore.lists import AsOf
from featurestore.reader import RecommendationReader
from streams.errors import StreamsError

if TYPE_CHECKING:
    from featurestore.lists import RecommendationList
    from streams.config import Config

READER: Final = UserId("demo-reader")
_SHOWN: Final = 10
_DEADLINE_S: Final = 20.0
_ASK_EVERY_S: Final = 0.002


class NoFreshList(StreamsError):
    """An event was sent and no list answered it in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A reader's list before and after one click.

    Attributes:
        before: After the visit that opened the page.
        after: After the click.
        clicked: The item that was clicked.
        waited_ms: From Kafka's acknowledgement of the click until the new list was read.
    """

    before: RecommendationList
    after: RecommendationList
    clicked: str
    waited_ms: float


def watch_one_reader(config: Config) -> Change:
    """Open a page, click its third item, and return the lists around the click.

    Raises:
        NoFreshList: A list did not follow within 20 s.
    """
    with (
        closing(KafkaProducer(bootstrap_servers=list(config.kafka.brokers))) as producer,
        closing(Redis.from_url(config.redis.url.reveal())) as client,
    ):
        page = _Page(config.kafka.topics.events, producer, RecommendationReader(client))
        before, _ = page.send(Visit(event_id=_event_id(), user_id=READER, ts_ms=_now_ms()))
        shown = before.items[:_SHOWN]
        if not shown:
            raise NoFreshList("the reader's list is empty: nothing has been learned yet")
        request_id = _event_id()
        page.show(before, request_id)
        clicked = shown[min(2, len(shown) - 1)].item_id
        after, waited_ms = page.send(
            Action(
                event_id=_event_id(),
                user_id=READER,
                ts_ms=_now_ms(),
                action="click",
                item_id=clicked,
                request_id=request_id,
                list_id=before.list_id,
            )
        )
    return Change(before=before, after=after, clicked=clicked, waited_ms=waited_ms)


class _Page:
    """The reader's page: sends events, and reads the list that answers one."""

    def __init__(self, topic: str, producer: KafkaProducer, reader: RecommendationReader) -> None:
        self._topic = topic
        self._producer = producer
        self._reader = reader

    def show(self, recommendations: RecommendationList, request_id: str) -> None:
        """Send the impression of the list's first items."""
        items = tuple(
            ShownItem(item_id=item.item_id, position=item.position, propensity=item.propensity)
            for item in recommendations.items[:_SHOWN]
        )
        self._append(
            Impression(
                event_id=_event_id(),
                user_id=READER,
                ts_ms=_now_ms(),
                items=items,
                request_id=request_id,
                list_id=recommendations.list_id,
            )
        )

    def send(self, event: Event) -> tuple[RecommendationList, float]:
        """Send an event; return the list that it caused, and the wait for it in milliseconds."""
        sent_at = self._append(event)
        sent_s = time.monotonic()
        while time.monotonic() - sent_s < _DEADLINE_S:
            found = self._reader.get(READER)
            if found is not None and found.as_of == sent_at:
                return found, (time.monotonic() - sent_s) * 1000
            time.sleep(_ASK_EVERY_S)
        raise NoFreshList(
            f"no list answered event {sent_at.partition}-{sent_at.offset} within "
            f"{_DEADLINE_S:.0f} s: see the worker's log"
        )

    def _append(self, event: Event) -> AsOf:
        sent = self._producer.send(
            self._topic, key=event.user_id.encode(), value=encode_event(event)
        )
        metadata = sent.get(timeout=_DEADLINE_S)
        return AsOf(partition=metadata.partition, offset=metadata.offset)


def _event_id() -> str:
    return secrets.token_hex(8)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
