"""Who are the users of a benchmark, what have they done, and what do they do now?

Item numbers are drawn with a power law; every draw is seeded, so that runs are alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from featurestore.events import Action, ItemId, UserId
from featurestore.keys import item_key
from featurestore.state import UserState
from featurestore.state_layout import MARK_BYTES, Header
from models.online.online_models import OnlineModels

NUM_ITEMS = 5_000
NUM_ACTIONS = 200
NOW_MS = 1_700_000_000_000
_CLICK = 1
_NUM_MARKS = 64
_NUM_LEARNED = 100_000


def item_name(number: int) -> str:
    """The id of an item."""
    return f"item-{number:08d}"


def user_names(num: int) -> list[str]:
    """Ids of 16 characters."""
    return [f"user-{number:011d}" for number in range(num)]


def popular(generator: np.random.Generator, size: int) -> npt.NDArray[np.int64]:
    """Item numbers, the small ones more often."""
    return (NUM_ITEMS * generator.random(size) ** 3).astype(np.int64)


def actions(users: Sequence[str]) -> Iterator[Action]:
    """One click of each user in random order, again and again."""
    generator = np.random.default_rng(7)
    numbers = itertools.count()
    while True:
        items = popular(generator, len(users)).tolist()
        for user, item in zip(generator.permutation(len(users)).tolist(), items, strict=True):
            number = next(numbers)
            yield Action(
                event_id=f"event-{number:010d}",
                user_id=UserId(users[user]),
                ts_ms=NOW_MS + number,
                session_id=f"session-{user}",
                action="click",
                item_id=ItemId(item_name(item)),
                context={"device": "mobile"},
            )


def old_states(num: int) -> Iterator[UserState]:
    """States after 200 clicks over some days."""
    generator = np.random.default_rng(11)
    keys = np.array([item_key(item_name(number)) for number in range(NUM_ITEMS)], "<u4")
    for _ in range(num):
        gaps = generator.integers(5, 2000, NUM_ACTIONS - 1).astype("<u2")
        last_s = NOW_MS // 1000 - int(generator.integers(10, 80_000))
        header = Header(
            clock_ms=last_s * 1000,
            session_start_s=last_s - 100,
            session_mark=1,
            session_num_actions=3,
            last_s=last_s,
            span_s=int(gaps.astype(np.int64).sum()),
            num_actions=NUM_ACTIONS,
            num_marks=_NUM_MARKS,
        )
        columns = (
            keys[popular(generator, NUM_ACTIONS)].tobytes(),
            gaps.tobytes(),
            bytes([_CLICK]) * NUM_ACTIONS,
            generator.bytes(_NUM_MARKS * MARK_BYTES),
        )
        yield UserState(b"".join((header.packed(), *columns)))


def teach(online: OnlineModels) -> None:
    """Let the counters see an hour of clicks, until now."""
    generator = np.random.default_rng(13)
    items = popular(generator, _NUM_LEARNED).tolist()
    before = popular(generator, 3 * _NUM_LEARNED).reshape(-1, 3).tolist()
    keys = [item_key(item_name(number)) for number in range(NUM_ITEMS)]
    for number, (item, previous) in enumerate(zip(items, before, strict=True)):
        online.learn_action(
            item_name(item),
            weight=1.0,
            time_ms=NOW_MS - 3_600_000 + number * 36,
            previous=[keys[one] for one in previous],
        )
    online.advance(1)
