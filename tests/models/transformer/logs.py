"""Synthetic histories whose rules are known."""

from collections.abc import Iterable

import numpy as np

from models.history import History, HistoryEvent

NUM_ITEMS = 60
SESSION_ACTIONS = 6


def history_of(events: Iterable[HistoryEvent]) -> History:
    """Return a history of one examples record."""
    history = History()
    history.append(events, from_offset=0, to_offset=1)
    return history


def planted_events(num_users: int, seed: int) -> list[HistoryEvent]:
    """Users who walk a fixed permutation of the items, from an item drawn at random.

    What comes next is certain given the last item, and popularity says nothing about it.
    """
    generator = np.random.default_rng(seed)
    successor = np.random.default_rng(0).permutation(NUM_ITEMS)
    events = []
    for user in range(num_users):
        item = int(generator.integers(NUM_ITEMS))
        time_s = 1_000_000 + 50 * user
        for _ in range(SESSION_ACTIONS):
            item = int(successor[item])
            time_s += 30
            events.append(
                HistoryEvent(
                    user_id=f"{seed}-{user}", time_s=time_s, action=1, item_id=f"item-{item}"
                )
            )
    return events
