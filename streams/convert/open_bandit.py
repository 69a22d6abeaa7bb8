"""What are the rows of the Open Bandit Dataset as events?

Saito, Aihara, Matsutani and Narita, "Open Bandit Dataset and Pipeline", 2021. A row is one slot: an
item at one of three places, its propensity there, and whether it was clicked. Which rows one page
showed together is not told, and neither is who saw them, so each is a slate of one item before a
user of its own, whose hashed features are the event's context. Order: the file's, by time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from featurestore.events import Action, Context, Event, Impression, ItemId, ShownItem, UserId

_FEATURES: Final = tuple(f"user_feature_{number}" for number in range(4))
_COLUMNS: Final = ("timestamp", "item_id", "position", "click", "propensity_score", *_FEATURES)


def open_bandit_events(path: Path) -> Iterator[Event]:
    """Yield an impression per row of `all.csv` (or `.csv.gz`), and a click where there was one.

    Raises:
        ValueError: It is no such file, or a row has no propensity.
    """
    if missing := [name for name in _COLUMNS if name not in pl.read_csv(path, n_rows=0).columns]:
        raise ValueError(
            f"{path} has no columns {', '.join(missing)}; expected the dataset's all.csv, men.csv "
            "or women.csv"
        )
    rows = (
        pl.read_csv(path, columns=list(_COLUMNS))
        .with_columns(pl.col("timestamp").map_elements(_milliseconds, pl.Int64))
        .sort("timestamp", maintain_order=True)
    )
    log = path.name.split(".")[0]
    for number, row in enumerate(rows.iter_rows(named=True)):
        name = f"open-bandit-{log}-{number}"
        if not 0 < (row["propensity_score"] or 0) <= 1:
            raise ValueError(
                f"{path}, row {number}: found propensity_score {row['propensity_score']}, expected "
                "a chance above 0, up to 1: without it a log tells nothing of other policies"
            )
        yield _impression(row, name)
        if row["click"]:
            yield Action(
                event_id=f"{name}-click",
                user_id=UserId(name),
                ts_ms=row["timestamp"],
                action="click",
                item_id=ItemId(str(row["item_id"])),
                request_id=name,
            )


def _impression(row: dict[str, Any], name: str) -> Impression:
    context: Context = {feature: row[feature] for feature in _FEATURES}
    shown = ShownItem(
        item_id=ItemId(str(row["item_id"])),
        position=row["position"],
        propensity=row["propensity_score"],
    )
    return Impression(
        event_id=name,
        user_id=UserId(name),
        ts_ms=row["timestamp"],
        request_id=name,
        items=(shown,),
        context=context,
    )


def _milliseconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000)
