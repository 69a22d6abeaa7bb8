"""Models that have learned a little, and the pipeline around them, for the tests of lists."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from featurestore.catalogue import Catalogue
from featurestore.events import CatalogueItem, Event, ItemId, UserId
from featurestore.keys import item_key
from featurestore.state import UserState
from streams.config import Config, config_of
from streams.pipeline.chunks import Chunk
from streams.pipeline.composition import build_pipeline
from streams.pipeline.decoding import DecodedEvent
from streams.pipeline.live import LiveModels
from streams.pipeline.pipeline import Effects, Pipeline
from streams.pipeline.stopwatch import NoLaps
from streams.worker.ownership import NOTHING_LOST
from tests.streams.stream_events import START_MS, records_of


def config(**overrides: object) -> Config:
    """A configuration; `a__b=value` is the setting `a.b`."""
    return config_of(
        {}, {}, [f"{key.replace('__', '.')}={_toml(v)}" for key, v in overrides.items()]
    )


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def live_models(
    settings: Config, visits: Iterable[Sequence[str]] = (), *, at_ms: int = START_MS - 60_000
) -> LiveModels:
    """Models that have seen users act on these items, one sequence a user."""
    live = LiveModels(settings.online_models(), Catalogue(numeric=settings.features.numeric))
    times = itertools.count(at_ms)
    for visit in visits:
        for place, item_id in enumerate(visit):
            previous = [item_key(item) for item in reversed(visit[max(0, place - 3) : place])]
            live.online.learn_action(item_id, weight=1.0, time_ms=next(times), previous=previous)
    live.online.advance(1)
    return live


def put_items(live: LiveModels, *items: CatalogueItem) -> None:
    """Put records of items into the catalogue."""
    for item in items:
        live.put_item(item)


def item(item_id: str, **said: object) -> CatalogueItem:
    """A record of the catalogue."""
    return CatalogueItem(item_id=ItemId(item_id), **said)  # type: ignore[arg-type]  # as the test says


def chunk_of(*events: Event, from_offset: int = 0, partition: int = 0) -> Chunk:
    """A chunk of these events and nothing else."""
    records = records_of(*events, base_offset=from_offset)
    return Chunk(
        partition=partition,
        from_offset=from_offset,
        to_offset=from_offset + len(events),
        events=[DecodedEvent(*pair) for pair in zip(records, events, strict=True)],
        refused=[],
    )


class Line:
    """A pipeline with its models and the states of its users, chunk after chunk."""

    def __init__(self, settings: Config, live: LiveModels) -> None:
        self.pipeline: Pipeline = build_pipeline(settings, live)
        self.live = live
        self.states: dict[UserId, UserState] = {}
        self.next_offset = 0

    def take(self, *events: Event, wants_lists: bool = True) -> Effects:
        """Process a chunk, and go on from its states."""
        chunk = chunk_of(*events, from_offset=self.next_offset)
        effects = self.process(chunk, self.states, wants_lists=wants_lists)
        self.states.update(effects.states)
        self.next_offset = chunk.to_offset
        return effects

    def process(
        self, chunk: Chunk, states: Mapping[UserId, UserState], *, wants_lists: bool = True
    ) -> Effects:
        """Process a chunk on given states."""
        return self.pipeline.process(
            chunk,
            states,
            self.live,
            topic_id="topic",
            lost_from=NOTHING_LOST,
            wants_lists=wants_lists,
            computed_at_ms=1,
            laps=NoLaps(),
        )
