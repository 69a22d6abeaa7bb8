"""What would the live system have made of a log? Pipeline and learner, with nothing between them.

The events go one by one, as one partition, through the code of workers and learner, without Kafka,
Redis or a wall clock; the worker's replica is the learner's own models, so nothing is stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from featurestore.catalogue import Catalogue
from featurestore.events import Event, UserId
from featurestore.state import UserState
from streams.config import Config
from streams.engine import Record
from streams.learner.fold import LearnEffects, LearnerFold
from streams.pipeline.chunks import Chunk
from streams.pipeline.composition import build_pipeline
from streams.pipeline.decoding import DecodedEvent
from streams.pipeline.live import LiveModels
from streams.pipeline.pipeline import Effects
from streams.pipeline.stopwatch import NoLaps

TOPIC_ID: Final = "log"
_PARTITION: Final = 0
_NOTHING_LOST: Final = -1


class OneProcess:
    """A worker and a learner that follow each other step by step.

    Attributes:
        live: The models of both.
        states: Of every user who has one.
    """

    def __init__(self, config: Config) -> None:
        """Begin with nothing known."""
        online = config.online_models()
        self.live = LiveModels(online, Catalogue(numeric=config.features.numeric))
        self.states: dict[UserId, UserState] = {}
        self._pipeline = build_pipeline(config, self.live)
        self._fold = LearnerFold(
            online, config.attribution, layout=config.layout_digest(online), topic_id=TOPIC_ID
        )
        self._laps = NoLaps()

    def process(
        self, place: int, event: Event | None, *, wants_lists: bool, computed_at_ms: int = 0
    ) -> Effects:
        """Do what a worker does with what stands at one place of the log.

        Args:
            place: From 0, without a gap.
            event: What stands there; None for what is no event.
            wants_lists: Whether its lists are built.
            computed_at_ms: Written into them.
        """
        events = [] if event is None else [event]
        return self._process(place, place + 1, events, wants_lists, computed_at_ms)

    def catch_up(self, place: int, events: Sequence[Event]) -> Effects:
        """Do what a worker does with a chunk of the log that it is late for: no lists are built.

        Args:
            place: Of the first event; the others follow.
            events: All of them.
        """
        return self._process(place, place + len(events), events, wants_lists=False)

    def _process(
        self,
        place: int,
        end: int,
        events: Sequence[Event],
        wants_lists: bool,  # noqa: FBT001 - private
        computed_at_ms: int = 0,
    ) -> Effects:
        effects = self._pipeline.process(
            Chunk(
                partition=_PARTITION,
                from_offset=place,
                to_offset=end,
                events=[
                    DecodedEvent(Record(offset, None, None, event.ts_ms), event)
                    for offset, event in enumerate(events, start=place)
                ],
                refused=[],
            ),
            self.states,
            self.live,
            topic_id=TOPIC_ID,
            lost_from=_NOTHING_LOST,
            wants_lists=wants_lists,
            computed_at_ms=computed_at_ms,
            laps=self._laps,
        )
        self.states.update(effects.states)
        return effects

    def learn(self, place: int, effects: Effects) -> LearnEffects:
        """Do what the learner does with what the worker made of a place, or of a chunk.

        Args:
            place: Of the record among those that were learned, from 0, without a gap.
            effects: What the worker made.
        """
        return self._fold.fold(effects.record, place)

    def finish(self) -> LearnEffects:
        """Close the slates that are open at the log's end."""
        return self._fold.flush()
