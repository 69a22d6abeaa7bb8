"""What does Headrace make of events in one process? Worker, learner and trainer, step by step.

Nothing waits, so what can be measured is the quality of the lists, not their freshness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.bad_bundle import trained_anew
from deploy.storefront import events as shop_events
from deploy.storefront.policies import ReadList
from featurestore.events import CatalogueItem, Event, UserId, decode_event, decode_item
from featurestore.keys import item_key
from featurestore.lists import RecommendationList
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from streams.config import Config
from streams.learner.rivals import Compared
from streams.metrics import TrainerMetrics
from streams.one_process import TOPIC_ID, OneProcess
from streams.pipeline.pipeline import Effects
from streams.trainer.training_data import TrainingData
from streams.trainer.training_round import TrainingRound

_CHUNK_EVENTS: Final = 64
"""Some ten seconds of the shop's past."""


def of_shop(events: Iterable[shop_events.Event]) -> Iterator[Event | CatalogueItem]:
    """Yield a shop's events as they come out of Kafka."""
    for event in events:
        value = shop_events.encode(event)
        if isinstance(event, shop_events.CatalogueItem):
            yield decode_item(value)
        else:
            yield decode_event(value)


class InProcess:
    """Worker, learner and trainer in one process, and the lists that they leave.

    Attributes:
        live: The models of worker and learner.
        data: What the trainer has read.
        wants_lists: Whether lists are made.
        trains: Whether the trainer goes on.
        compared: What tells a bundle from its challenger, since whoever looks has cleared it.
    """

    def __init__(
        self, config: Config, folder: Path, *, train_from_ms: int, train_every_ms: int
    ) -> None:
        """Begin with nothing known.

        Args:
            config: Of all three.
            folder: Where bundles go.
            train_from_ms: Event time of the first training,
            train_every_ms: and how much later the next one comes.
        """
        self._system = OneProcess(config)
        self.live = self._system.live
        self.data = TrainingData(
            config.online,
            topic_id=TOPIC_ID,
            side=config.side,
            capacity=1_000_000,
            counter_rows=200_000,
        )
        self._config = config
        self._folder = folder
        self._round = TrainingRound(
            config, self.data, TrainerMetrics(), folder=folder, announce=self._swap, seed=0
        )
        self._lists: dict[UserId, RecommendationList] = {}
        self._attributes: dict[str, tuple[int, ...]] = {}
        self._num_events = 0
        self._num_records = 0
        self._train_at_ms = train_from_ms
        self._train_every_ms = train_every_ms
        self.wants_lists = False
        self.trains = True
        self.compared: list[Compared] = []

    def take(self, event: Event | CatalogueItem) -> None:
        """Digest an event."""
        if isinstance(event, CatalogueItem):
            self._put_item(event)
            return
        effects = self._system.process(
            self._num_events, event, wants_lists=self.wants_lists, computed_at_ms=event.ts_ms
        )
        self._lists.update(effects.lists)
        self._learn(effects, 1, event.ts_ms)

    def catch_up(self, events: Iterable[Event | CatalogueItem]) -> None:
        """Digest what nobody waits for: in chunks, as the demo's past, without lists."""
        waiting: list[Event] = []
        for event in events:
            if isinstance(event, CatalogueItem):
                self._put_item(event)
                continue
            waiting.append(event)
            if len(waiting) == _CHUNK_EVENTS:
                self._catch_up(waiting)
                waiting = []
        if waiting:
            self._catch_up(waiting)

    def _put_item(self, item: CatalogueItem) -> None:
        self.live.put_item(item)
        if self._config.trainer.reads_attributes:
            side = self._config.side
            told = side.attribute_codes(item.categories, item.attributes or {})
            self._attributes[item.item_id] = told

    def _catch_up(self, events: Sequence[Event]) -> None:
        effects = self._system.catch_up(self._num_events, events)
        self._learn(effects, len(events), events[-1].ts_ms)

    def _learn(self, effects: Effects, num_events: int, now_ms: int) -> None:
        self.compared += self._system.learn(self._num_records, effects).compared
        self.data.append(effects.record, self._num_records)
        self._num_events += num_events
        self._num_records += 1
        if self.trains and now_ms >= self._train_at_ms:
            self._train_at_ms = now_ms - (now_ms - self._train_at_ms) % self._train_every_ms
            self._train_at_ms += self._train_every_ms
            self.data.history.describe(self._attributes)
            self._round.run(is_stopped=lambda: False)

    def read(self, user_id: str, now_ms: int) -> ReadList | None:
        """What the application reads for a page."""
        del now_ms
        found = self._lists.get(UserId(user_id))
        if found is None:
            return None
        return ReadList(
            list_id=found.list_id,
            item_ids=[item.item_id for item in found.items],
            propensities=[item.propensity for item in found.items],
        )

    def trained_anew(self, *, seed: int) -> Bundle:
        """Return a bundle that was trained on everything so far from random weights."""
        self.data.history.describe(self._attributes)
        return trained_anew(self._config, self.data, self._folder, seed=seed)

    def use(self, bundle: Bundle, challenger: Bundle) -> None:
        """Make lists with a bundle, and compare them with those of another one."""
        self._swap(bundle, "")
        self.live.challenge(SequenceEncoder(challenger, key_of=item_key))

    def _swap(self, bundle: Bundle, reason: str) -> None:
        del reason
        self.live.use(SequenceEncoder(bundle, key_of=item_key))
