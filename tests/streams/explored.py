"""A log that was served by a policy which explores, with what every other policy would earn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from featurestore.events import Action, Event, Impression, ItemId, ShownItem, UserId
from models.policies.place_chances import PlackettLuce
from tests.streams.stream_events import START_MS

NUM_ITEMS, NUM_PLACES = 8, 2
APPEAL = np.linspace(0.04, 0.46, NUM_ITEMS)
LOGGED_SCORES = np.linspace(0.8, -0.8, NUM_ITEMS)
"""The logging policy likes what nobody wants."""
LOGGED_KN = PlackettLuce(1.0).chances(LOGGED_SCORES, NUM_PLACES)
UNIFORM_VALUE = float(APPEAL.mean())


def explored_log(num_slates: int, seed: int = 11) -> Iterator[Event]:
    """Yield slates of two items with exact propensities; any item may be clicked, whatever else."""
    draws = np.random.default_rng(seed)
    for number in range(num_slates):
        user, ts_ms = UserId(f"u{draws.integers(200)}"), START_MS + 2_000 * number
        noisy = LOGGED_SCORES + draws.gumbel(size=NUM_ITEMS)
        items = np.argsort(-noisy)[:NUM_PLACES].tolist()
        yield Impression(
            event_id=f"e{number}",
            user_id=user,
            ts_ms=ts_ms,
            request_id=f"r{number}",
            items=tuple(
                ShownItem(
                    item_id=ItemId(f"i{item}"),
                    position=place + 1,
                    propensity=float(LOGGED_KN[place, item]),
                )
                for place, item in enumerate(items)
            ),
        )
        for item in items:
            if draws.random() < APPEAL[item]:
                yield Action(
                    event_id=f"e{number}-{item}",
                    user_id=user,
                    ts_ms=ts_ms + 500,
                    action="click",
                    item_id=ItemId(f"i{item}"),
                    request_id=f"r{number}",
                )
