"""What are MovieLens ratings as events?

Harper and Konstan, "The MovieLens Datasets: History and Context" (2015). Read are the files
`ml-100k.inter` (RecBole's, with a typed header), `u.data` (100K) and `ratings.dat` (1M), or the
folder that holds one of them. Order: (timestamp, user), and the file's own within one second.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from featurestore.events import Action, Event, ItemId, UserId, Visit
from streams.convert.sessions import SessionOpenings

_FILE_NAMES: Final = ("ml-100k.inter", "u.data", "ratings.dat")


class Rating(NamedTuple):
    """One line of the file."""

    ts_ms: int
    user_id: str
    item_id: str
    value: float


def movielens_events(path: Path) -> Iterator[Event]:
    """Yield a rating (its stars as `value`) per line, and a visit where a session opens.

    Raises:
        ValueError: The path holds no ratings with timestamps.
    """
    ratings = sorted(_ratings(_file_of(path)), key=lambda rating: rating[:2])
    openings = SessionOpenings()
    for number, rating in enumerate(ratings):
        if openings.opens(rating.user_id, rating.ts_ms):
            yield Visit(
                event_id=f"movielens-{number}-visit",
                user_id=UserId(rating.user_id),
                ts_ms=rating.ts_ms,
            )
        yield Action(
            event_id=f"movielens-{number}",
            user_id=UserId(rating.user_id),
            ts_ms=rating.ts_ms,
            action="rating",
            item_id=ItemId(rating.item_id),
            value=rating.value,
        )


def _file_of(path: Path) -> Path:
    if path.is_file():
        return path
    for name in _FILE_NAMES:
        if (path / name).is_file():
            return path / name
    raise ValueError(
        f"{path} holds no ratings; expected a file, or a folder with one of "
        f"{', '.join(_FILE_NAMES)}"
    )


def _ratings(path: Path) -> Iterator[Rating]:
    separator = "::" if path.suffix == ".dat" else "\t"
    with path.open(encoding="latin-1") as lines:
        for number, line in enumerate(lines, start=1):
            fields = line.rstrip("\n").split(separator)
            if number == 1 and ":" in fields[0]:
                continue
            if len(fields) != 4:
                raise ValueError(
                    f"{path}, line {number}: {len(fields)} fields, expected user, item, rating and "
                    "timestamp; a file without timestamps cannot be replayed"
                )
            user_id, item_id, value, timestamp = fields
            yield Rating(int(float(timestamp)) * 1000, user_id, item_id, float(value))
