"""What are the clicks of the Globo.com news log as events?

Moreira, Ferreira and da Cunha, "News Session-Based Recommendations using Deep Neural Networks"
(2018). The log has clicks and no impressions. Order: (timestamp, user).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from featurestore.events import Action, Context, Event, ItemId, UserId, Visit
from streams.convert.sessions import SessionOpenings

_CONTEXT: Final = {
    "environment": "click_environment",
    "device": "click_deviceGroup",
    "os": "click_os",
    "country": "click_country",
    "region": "click_region",
    "referrer": "click_referrer_type",
}


def globo_events(path: Path) -> Iterator[Event]:
    """Yield a click per row of the parquet file, and a visit where a session opens."""
    columns = ["user_id", "session_id", "click_article_id", "click_timestamp"]
    rows = (
        pl.scan_parquet(path)
        .select(*columns, *_CONTEXT.values())
        .sort("click_timestamp", "user_id", maintain_order=True)
        .collect()
    )
    openings = SessionOpenings()
    for number, (user, session, article, ts_ms, *context_values) in enumerate(rows.iter_rows()):
        user_id, session_id = UserId(str(user)), str(session)
        context: Context = {
            name: str(value)
            for name, value in zip(_CONTEXT, context_values, strict=True)
            if value is not None
        }
        if openings.opens(user_id, ts_ms, session_id):
            yield Visit(
                event_id=f"globo-{number}-visit",
                user_id=user_id,
                ts_ms=ts_ms,
                session_id=session_id,
                context=context,
            )
        yield Action(
            event_id=f"globo-{number}",
            user_id=user_id,
            ts_ms=ts_ms,
            session_id=session_id,
            action="click",
            item_id=ItemId(str(article)),
            context=context,
        )
