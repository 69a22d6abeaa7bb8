"""Events of several users, by hand, for the tests of the stream."""

from collections.abc import Sequence

from featurestore.events import (
    Action,
    Context,
    Event,
    Impression,
    ItemId,
    ShownItem,
    UserId,
    Visit,
    encode_event,
)
from streams.engine import Record

START_MS = 1_700_000_000_000


def click(
    user_id: str,
    item_id: str | None,
    ts_ms: int = START_MS,
    *,
    action: str = "click",
    event_id: str = "",
    list_id: str | None = None,
    context: Context | None = None,
) -> Action:
    """Return an action, named after its content unless `event_id` says otherwise."""
    return Action(
        event_id=event_id or f"{user_id}-{action}-{item_id}-{ts_ms}",
        user_id=UserId(user_id),
        item_id=None if item_id is None else ItemId(item_id),
        action=action,
        ts_ms=ts_ms,
        list_id=list_id,
        context=context,
    )


def shown(
    user_id: str,
    ts_ms: int = START_MS,
    *,
    items: Sequence[str] = ("i1", "i2"),
    list_id: str | None = None,
    context: Context | None = None,
) -> Impression:
    """Return an impression of a slate of these items."""
    return Impression(
        event_id=f"{user_id}-shown-{ts_ms}",
        user_id=UserId(user_id),
        ts_ms=ts_ms,
        list_id=list_id,
        context=context,
        items=tuple(
            ShownItem(item_id=ItemId(item_id), position=place)
            for place, item_id in enumerate(items, start=1)
        ),
    )


def visit(user_id: str, ts_ms: int = START_MS, *, context: Context | None = None) -> Visit:
    """Return a visit."""
    event_id = f"{user_id}-visit-{ts_ms}"
    return Visit(event_id=event_id, user_id=UserId(user_id), ts_ms=ts_ms, context=context)


def records_of(*events: Event, base_offset: int = 0) -> list[Record]:
    """Return records that carry the events, appended at their times."""
    return [
        Record(offset=offset, key=None, value=encode_event(event), append_ms=event.ts_ms)
        for offset, event in enumerate(events, start=base_offset)
    ]
