"""Which items of the catalogue has nobody met yet, and who gets to see them?

The counters know an item from its first event on. What the catalogue holds beyond them can be
proposed by no source, so a list keeps a place for it: without one it would never be shown, and
never have an event. With an empty learner such items are the whole list.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

from featurestore.catalogue import Catalogue
from featurestore.events import CatalogueItem, ItemId
from featurestore.keys import item_key
from models.online.vocabulary import UNKNOWN, Vocabulary

MAX_HELD: Final = 5_000
"""Newest items that are looked through."""
NUM_OFFERED: Final = 200
"""Newest unmet items among which lists choose."""


class Newcomers:
    """The newest available items without a code, newest first; ties by item id."""

    def __init__(self, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
        self._catalogue = catalogue
        self._vocabulary = vocabulary
        self._newest: list[tuple[int, ItemId]] = []
        self._published_ms: dict[ItemId, int] = {}
        self._offered: list[ItemId] = []
        self._as_of: tuple[str, int, int] | None = None

    def put(self, item: CatalogueItem) -> None:
        """Take over a record that the catalogue has taken over."""
        self._remove(item.item_id)
        published_ms = item.published_at_ms or 0
        if item.available:
            insort(self._newest, (-published_ms, item.item_id))
            self._published_ms[item.item_id] = published_ms
            if len(self._newest) > MAX_HELD:
                self._remove(self._newest[-1][1])

    def offered(self, generation: int) -> list[ItemId]:
        """Return the newest unmet items, at most `NUM_OFFERED`.

        Args:
            generation: Of the online models' tables: another one may have met other items.
        """
        as_of = (self._catalogue.digest, len(self._vocabulary), generation)
        if as_of != self._as_of:
            self._offered = self._look()
            self._as_of = as_of
        return self._offered

    def _look(self) -> list[ItemId]:
        found: list[ItemId] = []
        for _, item_id in self._newest:
            if self._vocabulary.code(item_key(item_id)) == UNKNOWN:
                found.append(item_id)
                if len(found) == NUM_OFFERED:
                    break
        return found

    def _remove(self, item_id: ItemId) -> None:
        published_ms = self._published_ms.pop(item_id, None)
        if published_ms is not None:
            entry = (-published_ms, item_id)
            del self._newest[bisect_left(self._newest, entry)]


def turn_of(items: list[ItemId], seed: int, num: int) -> list[ItemId]:
    """Return `num` of the items from a place on that `seed` decides, each once.

    >>> turn_of(["a", "b", "c"], 5, 2)
    ['c', 'a']
    """
    if not items:
        return []
    start = seed % len(items)
    return (items[start:] + items[:start])[:num]
