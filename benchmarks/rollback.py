"""Does the gate see a bad bundle within the demo's traffic, and leave an equal one alone?

    python -m benchmarks.rollback --seed 1
    headrace convert movielens ml-100k ml100k.jsonl
    python -m benchmarks.rollback --log ml100k.jsonl --config benchmarks/movielens_stream.toml

A past, then live traffic, in one process: of the demo's shop in simulated time, at the demo's pace,
or of an event file, the past of which is its first events. Three kinds of bundle meet the one that
was trained on all of the past: one with its item vectors dealt out at random, one trained on the
past's first half, and those trained like it from other random weights. The trainer's gate judges
the first two on the past's last tenth. Then each is promoted by force, and the former one stands
by. Printed are the gate's word and when it came: minutes and compared actions; how the two stood at
the end in the log score, with its t, and in MRR; and of those trained like it the MRR on what their
own training held out, since random weights do not all lead equally far. Minutes are event time.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from benchmarks.bad_bundle import judged, shuffled
from benchmarks.in_process import InProcess, of_shop
from benchmarks.storefront import HOUR_MS, START_MS, in_process
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from featurestore.events import CatalogueItem, Event, decode_event
from models.bundle import Bundle
from streams.announcements import ANNOUNCEMENT_VERSION, Announcement, Decision, Role
from streams.config import Config, load_config
from streams.demo.demo import DEMO_CONFIG
from streams.event_file import read_values
from streams.learner.live_gate import LiveGate
from streams.learner.rivals import Compared

_NOW_S: Final = 0.0
"""No deadline passes: what is asked is what the traffic says."""
_COMPARED: Final = "gate.compare_rate=1.0"
"""Every list, which no freshness suffers from here: as few sessions as can be."""
_MINUTE_MS: Final = 60_000
_HELD_OUT: Final = 0.1
_NUM_TRAININGS: Final = 8
"""In the past of a log; the shop trains every hour."""
_NUM_AT_ONCE: Final = 20
"""Events of a log between two looks of the gate."""


class Traffic(Protocol):
    """Where events come from.

    Attributes:
        now_ms: How far they have come, in event time.
    """

    @property
    def now_ms(self) -> float:
        """See above."""
        ...

    def system(self, config: Config, folder: Path) -> InProcess:
        """Return what the events go through, and begin; before anything else."""
        ...

    def past(self, share: float) -> Iterable[Event | CatalogueItem]:
        """Return what comes next, up to this share of the past."""
        ...

    def live(self) -> Iterator[Iterable[Event | CatalogueItem]]:
        """Return what comes then, a little at a time."""
        ...


class OfShop:
    """The demo's shop, a second at a time."""

    def __init__(self, settings: Settings, max_minutes: float) -> None:
        """Open it; `live` goes on for so many minutes at most each time."""
        self._settings = settings
        self._max_minutes = max_minutes
        self._is_live = False
        self.now_ms = float(START_MS)

    def system(self, config: Config, folder: Path) -> InProcess:
        """See `Traffic`."""
        system = in_process(config, folder)
        self._shop = Storefront(self._settings, START_MS, read=system.read)
        return system

    def past(self, share: float) -> Iterable[Event | CatalogueItem]:
        """See `Traffic`."""
        self.now_ms = START_MS + round(share * self._settings.backfill_hours * HOUR_MS)
        return of_shop(self._shop.events(int(self.now_ms)))

    def live(self) -> Iterator[Iterable[Event | CatalogueItem]]:
        """See `Traffic`."""
        settings = self._settings
        if not self._is_live:
            self._is_live = True
            self._shop.serve_halves()
            self._shop.set_pace(
                settings.live_sessions_per_s, hurry=settings.hurry, from_ms=int(self.now_ms)
            )
        end_ms = self.now_ms + self._max_minutes * _MINUTE_MS
        while self.now_ms < end_ms:
            self.now_ms += 1_000
            yield of_shop(self._shop.events(int(self.now_ms)))


class OfLog:
    """An event file."""

    def __init__(self, log: Path, past_share: float) -> None:
        """Read it."""
        self._events = [decode_event(value) for value in read_values(log)]
        self._num_past = int(past_share * len(self._events))
        self._next = 0

    @property
    def now_ms(self) -> float:
        """See `Traffic`."""
        return float(self._events[max(self._next - 1, 0)].ts_ms)

    def system(self, config: Config, folder: Path) -> InProcess:
        """See `Traffic`."""
        begin_ms = self._events[0].ts_ms
        every_ms = (self._events[self._num_past - 1].ts_ms - begin_ms) // _NUM_TRAININGS
        return InProcess(config, folder, train_from_ms=begin_ms + every_ms, train_every_ms=every_ms)

    def past(self, share: float) -> Iterable[Event | CatalogueItem]:
        """See `Traffic`."""
        return self._up_to(int(share * self._num_past))

    def live(self) -> Iterator[Iterable[Event | CatalogueItem]]:
        """See `Traffic`."""
        while self._next < len(self._events):
            yield self._up_to(self._next + _NUM_AT_ONCE)

    def _up_to(self, end: int) -> Iterable[Event]:
        begin, self._next = self._next, min(end, len(self._events))
        return self._events[begin : self._next]


class Drill:
    """A recommender that knows the past, and the traffic that goes on from there."""

    def __init__(self, traffic: Traffic, config: Config, folder: Path) -> None:
        """Go through the past."""
        self._gate = config.gate
        self._traffic = traffic
        self.system = traffic.system(config, folder)
        self.system.catch_up(traffic.past(0.5))
        self.early = self.system.trained_anew(seed=1)
        self.system.catch_up(traffic.past(1 - _HELD_OUT))
        # Of what nobody has learned yet, for the trainer's gate.
        self.incumbent = self.system.trained_anew(seed=2)
        self.system.catch_up(traffic.past(1))
        self.current = self.system.trained_anew(seed=2)
        self.system.trains = False
        self.system.wants_lists = True

    def meet(self, current: Bundle, former: Bundle) -> str:
        """Let a bundle be forced into the place of another one; tell what came of it."""
        gate = LiveGate(self._gate)
        gate.announced(Role.CURRENT, _said(current, Decision.PROMOTE), now_s=_NOW_S)
        gate.announced(Role.CHALLENGER, _said(former, Decision.STANDBY), now_s=_NOW_S)
        self.system.use(current, former)
        found: list[Compared] = []
        decided, began_ms = "none yet", self._traffic.now_ms
        for events in self._traffic.live():
            for event in events:
                self.system.take(event)
            new, self.system.compared = self.system.compared, []
            found += new
            gate.take(new)
            if words := gate.decide(_NOW_S):
                decided = f"{words[0].announcement.decision}: {words[0].announcement.reason}"
                break
        minutes = (self._traffic.now_ms - began_ms) / _MINUTE_MS
        return f"{minutes:.1f} min  {_standing(found)}  gate: {decided}"


def _standing(found: list[Compared]) -> str:
    if not found:
        return "nothing compared: the log has ended"
    of_scores = np.array([one.score - one.challenger_score for one in found])
    of_ranks = np.array([1 / one.rank - 1 / one.challenger_rank for one in found])
    error = of_scores.std() / len(found) ** 0.5
    return (
        f"{len(found)} compared, log score {of_scores.mean():+.4f} (t "
        f"{of_scores.mean() / error if error else 0.0:+.1f}), MRR {of_ranks.mean():+.4f}, "
        f"same place {np.mean(of_ranks == 0):.3f}"
    )


def _held_out(bundle: Bundle) -> str:
    mrr = bundle.config.metrics.get("mrr")
    return "" if mrr is None else f"held out {mrr:.4f}  "


def _said(bundle: Bundle, decision: Decision) -> Announcement:
    return Announcement(
        version=ANNOUNCEMENT_VERSION,
        kind=bundle.config.kind,
        digest=bundle.digest,
        uri=str(bundle.folder),
        cutoff_offset=bundle.config.cutoff_offset,
        cutoff_ms=bundle.config.cutoff_ms,
        trained_at_ms=bundle.config.created_ms,
        decision=decision,
        reason="by force",
    )


def main() -> None:
    """Let every bundle meet the one that stands by, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--head", default="reranker", choices=["reranker", "choice", "click"])
    parser.add_argument("--equal", type=int, default=10, help="trials of an equal bundle")
    parser.add_argument("--config", type=Path, default=DEMO_CONFIG)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    shop = parser.add_argument_group("of the shop")
    shop.add_argument("--seed", type=int, default=1)
    shop.add_argument("--past-hours", type=float, default=6.0)
    shop.add_argument("--minutes", type=float, default=10.0, help="of live traffic, at most")
    log = parser.add_argument_group("of a log")
    log.add_argument("--log", type=Path, help="events, instead of the shop's")
    log.add_argument("--past-share", type=float, default=0.5)
    arguments = parser.parse_args()
    settings = [f"ranking.head={arguments.head}", _COMPARED, *arguments.set]
    config = load_config(arguments.config, {}, settings)
    traffic: Traffic
    if arguments.log:
        traffic = OfLog(arguments.log, arguments.past_share)
    else:
        seeded = replace(Settings(), seed=arguments.seed, backfill_hours=arguments.past_hours)
        traffic = OfShop(seeded, arguments.minutes)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        drill = Drill(traffic, config, folder)
        for name, bundle in {
            "vectors shuffled": shuffled(drill.incumbent, folder, config),
            "old data": drill.early,
        }.items():
            verdict = judged(bundle, drill.incumbent, drill.system.data)
            print(f"{name:17s} held out: {verdict.decision}, {verdict.reason}", flush=True)
        # All of the same data: they are trained before more comes.
        bundles = {
            "vectors shuffled": shuffled(drill.current, folder, config),
            "old data": drill.early,
            **{
                f"equal {trial}": drill.system.trained_anew(seed=100 + trial)
                for trial in range(1, arguments.equal + 1)
            },
        }
        print(f"{'in use':17s} {_held_out(drill.current)}")
        for name, bundle in bundles.items():
            print(f"{name:17s} {_held_out(bundle)}{drill.meet(bundle, drill.current)}", flush=True)


if __name__ == "__main__":
    main()
