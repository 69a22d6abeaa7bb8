"""What does the shop say to Headrace? The wire events, as an application would write them."""

from __future__ import annotations

import msgspec


class ShownItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of a slate; `propensity` is the chance that the policy put it there."""

    item_id: str
    position: int
    propensity: float | None = None


class Impression(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="impression"):
    """A slate was shown."""

    event_id: str
    user_id: str
    request_id: str
    list_id: str
    ts_ms: int
    session_id: str
    items: list[ShownItem]
    context: dict[str, str] = {}


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="action"):
    """A shopper did something with an item; the request is named where a list led to it."""

    event_id: str
    user_id: str
    item_id: str
    action: str
    ts_ms: int
    session_id: str
    request_id: str | None = None
    list_id: str | None = None
    value: float | None = None
    context: dict[str, str] = {}


class Visit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="visit"):
    """A session opened: a fresh list is wanted."""

    event_id: str
    user_id: str
    ts_ms: int
    session_id: str
    context: dict[str, str] = {}


class CatalogueItem(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one item on offer, for the topic `items`."""

    item_id: str
    title: str
    categories: list[str]
    attributes: dict[str, float]
    published_at_ms: int
    available: bool


UserEvent = Impression | Action | Visit
Event = UserEvent | CatalogueItem

_encode = msgspec.json.Encoder().encode


def encode(event: Event) -> bytes:
    """Return the JSON bytes of one event."""
    return _encode(event)


def key_of(event: Event) -> bytes:
    """Return the Kafka key: the shopper, or the item for a catalogue record."""
    if isinstance(event, CatalogueItem):
        return event.item_id.encode()
    return event.user_id.encode()
