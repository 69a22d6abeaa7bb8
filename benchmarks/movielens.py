"""ML-1M as the papers use it: the real file where it lies beside the project, else one like it."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.history import History, HistoryEvent
from models.side_features import NO_SIDE

REAL_LOG: Final = Path(__file__).parents[2] / "shared" / "data" / "ml-1m.txt.gz"
NUM_USERS: Final = 6_040
NUM_ITEMS: Final = 3_416
_NUM_ACTIONS: Final = 999_611
_FEWEST: Final = 20


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield user and item of each line `user item`, oldest first within a user."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            user, item = line.split()
            yield user, item


def read_genres(folder: Path) -> dict[str, list[str]]:
    """Return the genres of each item of the real log, which lie in its folder."""
    movies = (folder / "ml-1m-movies.dat").read_text(encoding="latin-1").splitlines()
    genres_of = {
        movie: genres.split("|") for movie, _, genres in (line.split("::") for line in movies)
    }
    numbers = (folder / "ml-1m-item-ids.txt").read_text(encoding="utf-8").splitlines()
    return {item: genres_of[movie] for item, movie in (line.split() for line in numbers)}


def made_up_pairs() -> Iterator[tuple[str, str]]:
    """Yield as many users, items and actions; lengths and popularity are skewed, tastes are not."""
    generator = np.random.default_rng(1)
    spread = generator.lognormal(0, 1, NUM_USERS)
    share = (_NUM_ACTIONS - _FEWEST * NUM_USERS) / spread.sum()
    lengths = np.minimum(_FEWEST + (spread * share).astype(np.int64), NUM_ITEMS // 2)
    popularity = (np.arange(NUM_ITEMS) + 20.0) ** -0.8
    for user, length in enumerate(lengths.tolist()):
        # The largest of exponential draws over rates are a weighted sample without replacement.
        keys = generator.exponential(size=NUM_ITEMS) / popularity
        items = np.argpartition(keys, length)[:length]
        for item in generator.permutation(items).tolist():
            yield str(user), str(item)


def history_of(
    pairs: Iterator[tuple[str, str]], genres: Mapping[str, Sequence[str]] | None = None
) -> History:
    """Return a history without times; with the genres of its items where they are given."""
    history = History()
    events = (HistoryEvent(user_id=user, time_s=0, action=1, item_id=item) for user, item in pairs)
    history.append(events, from_offset=0, to_offset=1)
    history.describe(
        {item: NO_SIDE.attribute_codes(told, {}) for item, told in (genres or {}).items()}
    )
    return history
