"""A log as an application would write it: visits, slates, clicks on them, other actions, and noise.

Some events are delivered twice, some come late, some users carry a context, one clicks the same
item again and again: everything that the folds distinguish occurs. Seeded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from featurestore.events import (
    Action,
    Context,
    Event,
    Impression,
    ItemId,
    ShownItem,
    UserId,
    Visit,
)
from tests.streams.stream_events import START_MS

_MEAN_GAP_MS: Final = 600
_SLATE_ITEMS: Final = 6
_INSISTENT: Final = UserId("u0")
_OTHER_ACTIONS: Final = ("view", "like", "hide", "add_to_cart", "purchase", "search", "unheard_of")


def shop_log(
    num_events: int, *, seed: int = 1, num_users: int = 300, num_items: int = 200
) -> list[Event]:
    """Return the log of a small shop, in the order of arrival."""
    shop = _Shop(np.random.default_rng(seed), num_users, num_items)
    return [shop.next_event(f"{seed}-{number}") for number in range(num_events)]


@dataclass
class _Shop:
    random: np.random.Generator
    num_users: int
    num_items: int
    now_ms: int = START_MS
    latest: list[Event] = field(default_factory=list)
    slates: dict[str, Impression] = field(default_factory=dict)

    def next_event(self, event_id: str) -> Event:
        self.now_ms += int(self.random.exponential(_MEAN_GAP_MS))
        if self.latest and self.random.random() < 0.01:
            return self.latest[int(self.random.integers(len(self.latest)))]
        event = self._new_event(event_id)
        self.latest = [*self.latest[-20:], event]
        return event

    def _new_event(self, event_id: str) -> Event:
        is_insistent = self.random.random() < 0.02
        user_id = _INSISTENT if is_insistent else UserId(f"u{self.random.integers(self.num_users)}")
        is_late = self.random.random() < 0.02
        ts_ms = self.now_ms - (int(self.random.integers(100_000)) if is_late else 0)
        chance, context = self.random.random(), self._context(user_id)
        if chance < 0.12:
            return Visit(event_id=event_id, user_id=user_id, ts_ms=ts_ms, context=context)
        slate = self.slates.get(user_id)
        if slate is None or chance < 0.5:
            slate = self._slate(event_id, user_id, ts_ms, context)
            self.slates[user_id] = slate
            return slate
        is_click = chance < 0.85
        action = "click" if is_click else str(self.random.choice(_OTHER_ACTIONS))
        place = 0 if is_insistent else int(self.random.geometric(0.4)) % len(slate.items)
        return Action(
            event_id=event_id,
            user_id=user_id,
            ts_ms=ts_ms,
            context=context,
            action=action,
            item_id=None if action == "search" else slate.items[place].item_id,
            request_id=slate.request_id if self.random.random() < 0.8 else None,
        )

    def _slate(
        self, event_id: str, user_id: UserId, ts_ms: int, context: Context | None
    ) -> Impression:
        # Squared, so that some items are far more popular than others.
        numbers = (self.random.random(4 * _SLATE_ITEMS) ** 2 * self.num_items).astype(int)
        if user_id == _INSISTENT:
            numbers[0] = 0
        items = list(dict.fromkeys(numbers.tolist()))[:_SLATE_ITEMS]
        return Impression(
            event_id=event_id,
            user_id=user_id,
            ts_ms=ts_ms,
            context=context,
            request_id=f"r{event_id}",
            items=tuple(
                ShownItem(item_id=ItemId(f"i{item}"), position=place, features={"price": item % 9})
                for place, item in enumerate(items, start=1)
            ),
        )

    def _context(self, user_id: UserId) -> Context | None:
        number = int(user_id[1:])
        return None if number % 3 == 0 else {"device": "phone" if number % 2 else "desktop"}
