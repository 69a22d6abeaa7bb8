"""Synthetic histories in which what comes next is told by side features alone."""

import numpy as np

from models.history import History, HistoryEvent
from models.side_features import SideFeatures

SIDE = SideFeatures(num_attribute_codes=64)
MOBILE, DESKTOP = ({"device": name} for name in ("mobile", "desktop"))
NUM_CATEGORIES = 4
DAY_S = 86_400


def category_of(item_id: str) -> str:
    """The letter before the number."""
    return item_id[0]


def attributes_of(item_ids: list[str]) -> dict[str, tuple[int, ...]]:
    """The attribute codes of items."""
    return {item: SIDE.attribute_codes([category_of(item)], {}) for item in item_ids}


def loyal_history(*, num_users: int = 500, num_items: int = 150) -> History:
    """Users who each stay in one category, in a catalogue so wide that items hardly meet twice.

    Four items, which begin with "a", "b", "c" or "d", are in the catalogue without any row: `a-new`
    and so on. Half of the items of each category have a row or two.
    """
    generator = np.random.default_rng(0)
    history = History(side=SIDE)
    events = []
    for user in range(num_users):
        category = "abcd"[user % NUM_CATEGORIES]
        for step in range(4):
            item = f"{category}{generator.integers(num_items)}"
            events.append(
                HistoryEvent(user_id=f"u{user}", time_s=10 * user + step, action=1, item_id=item)
            )
    history.append(events, from_offset=0, to_offset=1)
    new = [f"{category}-new" for category in "abcd"]
    history.describe(attributes_of([*history.item_ids, *new]), joining=new)
    return history


def by_device(*, num_users: int = 600) -> History:
    """Users who take items `m0`, `m1`, ... on mobiles and `d0`, `d1`, ... elsewhere, and switch.

    What came before says nothing: every action's device is drawn anew.
    """
    generator = np.random.default_rng(1)
    side = SideFeatures(context=("device",))
    history = History(side=side)
    events = []
    for user in range(num_users):
        for step in range(6):
            is_mobile = bool(generator.integers(2))
            asked_s = 100 * user + step
            events.append(
                HistoryEvent(
                    user_id=f"u{user}",
                    time_s=asked_s + 1,
                    action=1,
                    item_id=f"{'m' if is_mobile else 'd'}{generator.integers(12)}",
                    asked_s=asked_s,
                    contexts=side.context_codes(MOBILE if is_mobile else DESKTOP, asked_s),
                )
            )
    history.append(events, from_offset=0, to_offset=1)
    return history


def by_hour(*, num_users: int = 600) -> History:
    """Users who take items `m0`, `m1`, ... from midnight to noon and `e0`, `e1`, ... after noon."""
    generator = np.random.default_rng(1)
    history = History(side=SideFeatures(context=()))
    events = []
    for user in range(num_users):
        for step in range(6):
            asked_s = DAY_S * (1 + 6 * user + step) + int(generator.integers(DAY_S))
            letter = "m" if asked_s % DAY_S < DAY_S // 2 else "e"
            events.append(
                HistoryEvent(
                    user_id=f"u{user}",
                    time_s=asked_s + 1,
                    action=1,
                    item_id=f"{letter}{generator.integers(12)}",
                    asked_s=asked_s,
                )
            )
    history.append(events, from_offset=0, to_offset=1)
    return history
