"""What does a catalogue say of the items that a log has reached?

A file of the catalogue tells how things are today, and a log goes through what was. So an item is
known from its first event on, or once its `published_at_ms` is past, whichever comes first, and
every one is on offer: what is withdrawn today was there when it was acted upon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from featurestore.events import Action, CatalogueItem, Event, Impression, ItemId
from models.side_features import SideFeatures
from streams.partition_clock import ClockConfig, PartitionClock


class LogCatalogue:
    """Records of a catalogue that are put as a log goes on.

    Attributes:
        attributes: Codes of every item put, by item id, of those that have some.
        reached: Every item put, in order.
    """

    def __init__(
        self,
        items: Iterable[CatalogueItem],
        side: SideFeatures,
        put: Callable[[CatalogueItem], object],
    ) -> None:
        """Begin with nothing put.

        Args:
            items: The newest record of each item.
            side: Which attributes count.
            put: Takes a record into whatever makes lists.
        """
        self.attributes: dict[str, tuple[int, ...]] = {}
        self.reached: list[ItemId] = []
        self._side = side
        self._put = put
        self._clock = PartitionClock(ClockConfig())
        self._waiting = {
            item.item_id: msgspec.structs.replace(item, available=True) for item in items
        }
        published = [
            (item.published_at_ms, item.item_id)
            for item in self._waiting.values()
            if item.published_at_ms is not None
        ]
        # The next one last.
        self._published = sorted(published, reverse=True)

    def advance(self, event: Event) -> None:
        """Put what was published before an event, by the log's clock and not a single user's."""
        self._clock.advance(event.ts_ms, event.user_id)
        while self._published and self._published[-1][0] < self._clock.now_ms:
            self._reach(self._published.pop()[1])

    def meet(self, event: Event) -> None:
        """Put what an event is about."""
        for item_id in _named_by(event):
            self._reach(item_id)

    def _reach(self, item_id: ItemId) -> None:
        item = self._waiting.pop(item_id, None)
        if item is None:
            return
        self._put(item)
        self.reached.append(item_id)
        if told := self._side.attribute_codes(item.categories, item.attributes or {}):
            self.attributes[item_id] = told


def _named_by(event: Event) -> Iterator[ItemId]:
    if isinstance(event, Impression):
        yield from (shown.item_id for shown in event.items)
    elif isinstance(event, Action) and event.item_id is not None:
        yield event.item_id
