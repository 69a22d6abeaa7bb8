"""What are the rows of the trivago RecSys Challenge 2019 log as events?

A clickout shows the list of hotels as it was: it becomes an impression with positions and prices
and, at the same time, a click on the hotel that echoes the impression's `request_id`. All other
rows are actions; searches, filters and sort orders have no item.
Order: (timestamp, session_id, step).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl

from featurestore.events import (
    Action,
    Context,
    Event,
    Impression,
    ItemId,
    ShownItem,
    UserId,
    Visit,
)
from streams.convert.sessions import SessionOpenings

CLICKOUT: Final = "clickout item"
ACTIONS: Final = {
    CLICKOUT: "click",
    "interaction item image": "view",
    "interaction item info": "view_info",
    "interaction item deals": "view_deals",
    "interaction item rating": "view_rating",
    "search for item": "search",
    "search for destination": "search",
    "search for poi": "search",
    "filter selection": "filter",
    "change of sort order": "sort",
}
"""Our names for the log's action types."""

_WITH_ITEM: Final = frozenset(
    {
        CLICKOUT,
        "interaction item image",
        "interaction item info",
        "interaction item deals",
        "interaction item rating",
        "search for item",
    }
)
_MAX_QUERY_CHARS: Final = 1024


def trivago_events(path: Path) -> Iterator[Event]:
    """Yield the events of the parquet file."""
    rows = (
        pl.scan_parquet(path).sort("timestamp", "session_id", "step", maintain_order=True).collect()
    )
    openings = SessionOpenings()
    # Session and step would name a row, but three of them occur twice in the log.
    for row in rows.with_row_index("number").iter_rows(named=True):
        user_id, ts_ms = UserId(row["user_id"]), row["timestamp"] * 1000
        context: Context = {name: row[name] for name in ("platform", "device", "city")}
        if openings.opens(user_id, ts_ms, row["session_id"]):
            yield Visit(
                event_id=f"{_request_id(row)}-visit",
                user_id=user_id,
                ts_ms=ts_ms,
                session_id=row["session_id"],
                context=context,
            )
        if row["action_type"] == CLICKOUT:
            yield _impression(row, user_id, ts_ms, context)
        yield _action(row, user_id, ts_ms, context)


def _request_id(row: dict[str, Any]) -> str:
    return f"trivago-{row['number']}"


def _impression(row: dict[str, Any], user_id: UserId, ts_ms: int, context: Context) -> Impression:
    item_ids, prices = row["impressions"].split("|"), row["prices"].split("|")
    return Impression(
        event_id=f"{_request_id(row)}-impression",
        user_id=user_id,
        ts_ms=ts_ms,
        session_id=row["session_id"],
        request_id=_request_id(row),
        items=tuple(
            ShownItem(item_id=ItemId(item_id), position=position, features={"price": float(price)})
            for position, (item_id, price) in enumerate(zip(item_ids, prices, strict=True), start=1)
        ),
        context=context,
    )


def _action(row: dict[str, Any], user_id: UserId, ts_ms: int, context: Context) -> Action:
    action_type, reference = row["action_type"], row["reference"]
    has_item = action_type in _WITH_ITEM and reference.isdigit()
    return Action(
        event_id=_request_id(row),
        user_id=user_id,
        ts_ms=ts_ms,
        session_id=row["session_id"],
        action=ACTIONS[action_type],
        item_id=ItemId(reference) if has_item else None,
        request_id=_request_id(row) if action_type == CLICKOUT else None,
        query=None if has_item else reference[:_MAX_QUERY_CHARS],
        context=context,
    )
