"""How does a public log become a file of our events? One module per log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from featurestore.events import CatalogueItem, Event
from streams.convert.globo import globo_events
from streams.convert.movielens import movielens_events, movielens_items
from streams.convert.open_bandit import open_bandit_events
from streams.convert.trivago import trivago_events

Converter: TypeAlias = Callable[[Path], Iterator[Event]]

CONVERTERS: Final[Mapping[str, Converter]] = {
    "globo": globo_events,
    "trivago": trivago_events,
    "movielens": movielens_events,
    "open_bandit": open_bandit_events,
}
"""The logs that `headrace convert` knows, by name; each yields events in replay order."""

CATALOGUES: Final[Mapping[str, Callable[[Path], Iterator[CatalogueItem]]]] = {
    "movielens": movielens_items,
}
"""Of the logs that tell something of their items, what yields the catalogue's records."""

__all__ = [
    "CATALOGUES",
    "CONVERTERS",
    "Converter",
    "globo_events",
    "movielens_events",
    "movielens_items",
    "open_bandit_events",
    "trivago_events",
]
