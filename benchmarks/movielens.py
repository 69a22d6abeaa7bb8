"""ML-1M as the papers use it: the real file where it lies beside the project, else one like it."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from models.history import History, HistoryEvent

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


def history_of(pairs: Iterator[tuple[str, str]]) -> History:
    """Return a history without times."""
    history = History()
    events = (HistoryEvent(user_id=user, time_s=0, action=1, item_id=item) for user, item in pairs)
    history.append(events, from_offset=0, to_offset=1)
    return history
