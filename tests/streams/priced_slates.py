"""Slates whose click is told by the items' prices alone, for the tests of rankers."""

from __future__ import annotations

import numpy as np

from featurestore.events import Action, CatalogueItem, Event, Impression, ItemId, ShownItem, UserId
from tests.streams.stream_events import START_MS

ITEMS = [f"i{number}" for number in range(8)]
"""In the catalogue, the cheapest first."""
STEP_MS = 5_000
WATCHED_S = 30.0


def catalogue() -> list[CatalogueItem]:
    """The items with a price each."""
    return [
        CatalogueItem(item_id=ItemId(item_id), attributes={"price": 10 * (1 + place)})
        for place, item_id in enumerate(ITEMS)
    ]


def answered_events(
    num_slates: int,
    *,
    wants_cheap: bool,
    seed: int = 3,
    num_users: int = 100,
    first: int = 0,
    unclicked_share: float = 0.0,
) -> list[Event]:
    """Impressions of all items at prices drawn anew each time, and the click on each of them.

    Of `unclicked_share` the click is left out.

    Which item it is tells nothing, the rank of its price everything: the further from the wanted
    end, the rarer the click. Whatever is clicked is watched for half a minute. `first` numbers the
    slates, by which they follow others in time.
    """
    draws = np.random.default_rng(seed)
    is_clicked = np.random.default_rng([seed, 1]).random(num_slates) >= unclicked_share
    chances = np.exp(-np.arange(len(ITEMS)))
    events: list[Event] = []
    for number in range(first, first + num_slates):
        user, ts_ms, request = (
            UserId(f"u{number % num_users}"),
            START_MS + STEP_MS * number,
            f"r{number}",
        )
        prices = draws.permutation(len(ITEMS)) + 1
        rank = draws.choice(len(ITEMS), p=chances / chances.sum())
        clicked = int(np.argsort(prices if wants_cheap else -prices)[rank])
        order = draws.permutation(len(ITEMS)).tolist()
        events.append(
            Impression(
                event_id=f"shown-{number}",
                user_id=user,
                ts_ms=ts_ms,
                request_id=request,
                items=tuple(
                    ShownItem(
                        item_id=ItemId(ITEMS[index]),
                        position=place,
                        features={"price": 10.0 * float(prices[index])},
                    )
                    for place, index in enumerate(order, start=1)
                ),
            )
        )
        if not is_clicked[number - first]:
            continue
        events.append(
            Action(
                event_id=f"click-{number}",
                user_id=user,
                ts_ms=ts_ms + 1_000,
                action="click",
                item_id=ItemId(ITEMS[clicked]),
                request_id=request,
                value=WATCHED_S,
            )
        )
    return events
