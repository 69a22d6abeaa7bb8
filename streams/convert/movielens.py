"""What are MovieLens ratings as events?

Harper and Konstan, "The MovieLens Datasets: History and Context" (2015). Read are the files
`ml-100k.inter` (RecBole's, with a typed header), `u.data` (100K) and `ratings.dat` (1M), or the
folder that holds one of them. Order: (timestamp, user), and the file's own within one second.

What is told of the users beside them (`ml-100k.user`, `u.user`, `users.dat`) is the context of
their events, since an application knows it, and what is told of the films (`ml-100k.item`,
`movies.dat`) is the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from featurestore.events import Action, CatalogueItem, Context, Event, ItemId, UserId, Visit
from streams.convert.sessions import SessionOpenings

_FILE_NAMES: Final = ("ml-100k.inter", "u.data", "ratings.dat")
_USER_FILES: Final = {"ml-100k.user": "\t", "u.user": "|", "users.dat": "::"}
_ITEM_FILES: Final = {"ml-100k.item": "\t", "movies.dat": "::"}
_YEARS_OF_AN_AGE_GROUP: Final = 10


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
    file = _file_of(path)
    ratings = sorted(_ratings(file), key=lambda rating: rating[:2])
    context_of = _contexts(file.parent)
    openings = SessionOpenings()
    for number, rating in enumerate(ratings):
        if openings.opens(rating.user_id, rating.ts_ms):
            yield Visit(
                event_id=f"movielens-{number}-visit",
                user_id=UserId(rating.user_id),
                ts_ms=rating.ts_ms,
                context=context_of.get(rating.user_id),
            )
        yield Action(
            event_id=f"movielens-{number}",
            user_id=UserId(rating.user_id),
            ts_ms=rating.ts_ms,
            action="rating",
            item_id=ItemId(rating.item_id),
            value=rating.value,
            context=context_of.get(rating.user_id),
        )


def movielens_items(path: Path) -> Iterator[CatalogueItem]:
    """Yield a record of each film: its genres as categories, and its year where a field has it.

    Raises:
        ValueError: No file of films lies beside the ratings.
    """
    folder = _file_of(path).parent
    for name in _ITEM_FILES:
        if (folder / name).is_file():
            yield from _items(folder / name)
            return
    raise ValueError(f"{folder} tells nothing of films; expected {' or '.join(_ITEM_FILES)}")


def _items(path: Path) -> Iterator[CatalogueItem]:
    for fields in _lines(path, _ITEM_FILES[path.name]):
        item_id, title, *year, genres = fields
        yield CatalogueItem(
            item_id=ItemId(item_id),
            title=title,
            categories=tuple(genres.replace("|", " ").split()),
            attributes={"year": year[0]} if year else None,
        )


def _contexts(folder: Path) -> Mapping[str, Context]:
    """Return what is told of each user; nothing where no file tells."""
    for name, separator in _USER_FILES.items():
        if (folder / name).is_file():
            users = _lines(folder / name, separator)
            by_name = name == "users.dat"
            return {fields[0]: _context(fields[1:4], gender_first=by_name) for fields in users}
    return {}


def _context(fields: Sequence[str], *, gender_first: bool) -> Context:
    gender, age = fields[:2] if gender_first else fields[1::-1]
    first = int(age) // _YEARS_OF_AN_AGE_GROUP * _YEARS_OF_AN_AGE_GROUP
    return {"age_group": f"{first}s", "gender": gender, "occupation": fields[2]}


def _lines(path: Path, separator: str) -> Iterator[list[str]]:
    """Yield the fields of each line, but for a typed header."""
    with path.open(encoding="latin-1") as lines:
        for number, line in enumerate(lines, start=1):
            fields = line.rstrip("\n").split(separator)
            if number > 1 or not fields[0].endswith(":token"):
                yield fields


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
