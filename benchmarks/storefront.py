"""How much of the gap between popularity and the oracle does Headrace close in the simulated shop?

    python -m benchmarks.storefront --seeds 1 2 3 4 5
    python -m benchmarks.storefront --seeds 1 2 3 --set tastes=shared
    python -m benchmarks.storefront --seeds 1 2 3 --set histories=shuffled

The shop of the demo, in simulated time and in one process: its events go one by one through the
pipeline, the learner and the trainer's rounds, and the treated half reads the lists that these
leave. Nothing waits, so what is measured is the quality of the lists, not their freshness.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

import featurestore.events
from benchmarks.bad_bundle import trained_anew
from deploy.storefront.events import CatalogueItem, Event, encode
from deploy.storefront.policies import ReadList
from deploy.storefront.report import Report, for_settings
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from featurestore.events import UserId, decode_event, decode_item
from featurestore.keys import item_key
from featurestore.lists import RecommendationList
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from streams.config import Config, load_config
from streams.demo import DEMO_CONFIG
from streams.metrics import TrainerMetrics
from streams.one_process import TOPIC_ID, OneProcess
from streams.pipeline import Effects
from streams.rivals import Compared
from streams.training_data import TrainingData
from streams.training_round import TrainingRound

START_MS: Final = 1_790_000_000_000
HOUR_MS: Final = 3_600_000
_TRAIN_EVERY_MS: Final = HOUR_MS
_CHUNK_EVENTS: Final = 64
"""Some ten seconds of the shop's past."""


class InProcess:
    """Worker, learner and trainer in one process, and the lists that they leave."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._system = OneProcess(config)
        self.live = self._system.live
        self.data = TrainingData(
            config.online, topic_id=TOPIC_ID, capacity=1_000_000, counter_rows=200_000
        )
        self._config = config
        self._folder = folder
        self._round = TrainingRound(
            config, self.data, TrainerMetrics(), folder=folder, announce=self._swap, seed=0
        )
        self._lists: dict[UserId, RecommendationList] = {}
        self._num_events = 0
        self._num_records = 0
        self._train_at_ms = START_MS + 2 * _TRAIN_EVERY_MS
        self.wants_lists = False
        self.trains = True
        self.compared: list[Compared] = []
        """What tells a bundle from its challenger, since whoever looks has cleared it."""

    def take(self, event: Event) -> None:
        """Digest an event of the shop."""
        value = encode(event)
        if isinstance(event, CatalogueItem):
            self.live.put_item(decode_item(value))
            return
        decoded = decode_event(value)
        effects = self._system.process(
            self._num_events, decoded, wants_lists=self.wants_lists, computed_at_ms=decoded.ts_ms
        )
        self._lists.update(effects.lists)
        self._learn(effects, 1, decoded.ts_ms)

    def catch_up(self, events: Iterable[Event]) -> None:
        """Digest what nobody waits for: in chunks, as the demo's past, without lists."""
        waiting: list[featurestore.events.Event] = []
        for event in events:
            value = encode(event)
            if isinstance(event, CatalogueItem):
                self.live.put_item(decode_item(value))
                continue
            waiting.append(decode_event(value))
            if len(waiting) == _CHUNK_EVENTS:
                self._catch_up(waiting)
                waiting = []
        if waiting:
            self._catch_up(waiting)

    def _catch_up(self, events: Sequence[featurestore.events.Event]) -> None:
        effects = self._system.catch_up(self._num_events, events)
        self._learn(effects, len(events), events[-1].ts_ms)

    def _learn(self, effects: Effects, num_events: int, now_ms: int) -> None:
        self.compared += self._system.learn(self._num_records, effects).compared
        self.data.append(effects.record, self._num_records)
        self._num_events += num_events
        self._num_records += 1
        if self.trains and now_ms >= self._train_at_ms:
            self._train_at_ms += _TRAIN_EVERY_MS
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
        return trained_anew(self._config, self.data, self._folder, seed=seed)

    def use(self, bundle: Bundle, challenger: Bundle) -> None:
        """Make lists with a bundle, and compare them with those of another one."""
        self._swap(bundle, "")
        self.live.challenge(SequenceEncoder(challenger, key_of=item_key))

    def _swap(self, bundle: Bundle, reason: str) -> None:
        del reason
        self.live.use(SequenceEncoder(bundle, key_of=item_key))


def run(settings: Settings, config: Config, *, live_hours: float) -> Report:
    """Return what a shop's halves came to after its past."""
    with tempfile.TemporaryDirectory() as scratch:
        recommender = InProcess(config, Path(scratch))
        shop = Storefront(settings, START_MS, read=recommender.read)
        live_ms = START_MS + round(settings.backfill_hours * HOUR_MS)
        for event in shop.events(live_ms):
            recommender.take(event)
        recommender.wants_lists = True
        shop.serve_halves()
        for event in shop.events(live_ms + round(live_hours * HOUR_MS)):
            recommender.take(event)
    return for_settings(settings, shop.tally.sums_UM)


def arguments_of_shops(description: str | None) -> argparse.ArgumentParser:
    """Return what a benchmark that goes through shops asks for."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--live-hours", type=float, default=2.0)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of the shop"
    )
    return parser


def main() -> None:
    """Run every seed, and print a line for each and their mean."""
    parser = arguments_of_shops(__doc__)
    parser.add_argument("--config-set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    config = load_config(DEMO_CONFIG, {}, arguments.config_set)
    closed: list[float] = []
    for seed in arguments.seeds:
        began_s = time.process_time()
        settings = replace(Settings(), seed=seed).replace(arguments.set)
        report = run(settings, config, live_hours=arguments.live_hours)
        closed.append(report.gap_closed_paired.value)
        print(  # noqa: T201  # a benchmark prints
            f"seed {seed}: random {report.random.value:.4f} popularity {report.popular.value:.4f} "
            f"oracle {report.oracle.value:.4f} | CTR {report.control} against {report.treated} | "
            f"uplift {report.uplift_paired} paired, {report.uplift} seen | gap closed "
            f"{report.gap_closed_paired} paired, {report.gap_closed} seen | "
            f"{time.process_time() - began_s:.0f} CPU s",
            flush=True,
        )
    print(f"mean gap closed, paired: {np.mean(closed):.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
