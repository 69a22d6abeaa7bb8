"""Does the gate see a bad bundle within the demo's traffic, and leave an equal one alone?

    python -m benchmarks.rollback --seed 1

The demo's shop in simulated time and in one process: a past, then live traffic at the demo's pace.
Three kinds of bundle meet the one that was trained on all of the past: one with its item vectors
dealt out at random, one trained on the past's first half, and those trained like it from other
random weights. The trainer's gate judges each on the past's last tenth. Then each is promoted by
force, and the former one stands by. Printed are the gate's word and when it came: live minutes and
compared actions; and how the two stood at the end in the log score, with its t, and in MRR.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.bad_bundle import judged, shuffled
from benchmarks.storefront import HOUR_MS, START_MS, InProcess
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from models.bundle import Bundle
from streams.announcements import ANNOUNCEMENT_VERSION, Announcement, Decision, Role
from streams.config import Config, load_config
from streams.demo import DEMO_CONFIG
from streams.live_gate import LiveGate
from streams.rivals import Compared

_NOW_S = 0.0
"""No deadline passes: what is asked is what the traffic says."""
_COMPARED = "gate.compare_rate=1.0"
"""Every list, which no freshness suffers from here: as few sessions as can be."""
_MINUTE_MS = 60_000
_HELD_OUT = 0.1


class Shop:
    """A recommender that knows the past, and the traffic that goes on from there."""

    def __init__(self, settings: Settings, config: Config, folder: Path) -> None:
        """Go through the past."""
        self._config = config
        self.recommender = InProcess(config, folder)
        self._shop = Storefront(settings, START_MS, read=self.recommender.read)
        past_ms = round(settings.backfill_hours * HOUR_MS)
        self._go_to(past_ms * 0.5)
        self.early = self.recommender.trained_anew(seed=1)
        self._go_to(past_ms * (1 - _HELD_OUT))
        # Of what nobody has learned yet, for the trainer's gate.
        self.incumbent = self.recommender.trained_anew(seed=2)
        self._go_to(past_ms)
        self.current = self.recommender.trained_anew(seed=2)
        self.recommender.trains = False
        self.recommender.wants_lists = True
        self._shop.serve_halves()
        self._shop.set_pace(
            settings.live_sessions_per_s, hurry=settings.hurry, from_ms=self._now_ms
        )

    def _go_to(self, past_ms: float) -> None:
        self._now_ms = START_MS + round(past_ms)
        self.recommender.catch_up(self._shop.events(self._now_ms))

    def meet(self, current: Bundle, former: Bundle, max_minutes: float) -> str:
        """Let a bundle be forced into the place of another one; tell what came of it."""
        gate = LiveGate(self._config.gate)
        gate.announced(Role.CURRENT, _said(current, Decision.PROMOTE), now_s=_NOW_S)
        gate.announced(Role.CHALLENGER, _said(former, Decision.STANDBY), now_s=_NOW_S)
        self.recommender.use(current, former)
        found: list[Compared] = []
        decided, began_ms = "none yet", self._now_ms
        for _ in self._seconds(max_minutes):
            new, self.recommender.compared = self.recommender.compared, []
            found += new
            gate.take(new)
            if words := gate.decide(_NOW_S):
                decided = f"{words[0].announcement.decision}: {words[0].announcement.reason}"
                break
        minutes = (self._now_ms - began_ms) / _MINUTE_MS
        return f"{minutes:.1f} min  {_standing(found)}  gate: {decided}"

    def _seconds(self, max_minutes: float) -> Iterator[None]:
        end_ms = self._now_ms + max_minutes * _MINUTE_MS
        while self._now_ms < end_ms:
            self._now_ms += 1_000
            for event in self._shop.events(self._now_ms):
                self.recommender.take(event)
            yield


def _standing(found: list[Compared]) -> str:
    of_scores = np.array([one.score - one.challenger_score for one in found])
    of_ranks = np.array([1 / one.rank - 1 / one.challenger_rank for one in found])
    error = of_scores.std() / len(found) ** 0.5 if len(found) else 0.0
    return (
        f"{len(found)} compared, log score {of_scores.mean():+.4f} (t "
        f"{of_scores.mean() / error if error else 0.0:+.1f}), MRR {of_ranks.mean():+.4f}, "
        f"same place {np.mean(of_ranks == 0):.3f}"
    )


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
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--head", default="reranker", choices=["reranker", "choice", "click"])
    parser.add_argument("--past-hours", type=float, default=6.0)
    parser.add_argument("--minutes", type=float, default=10.0, help="of live traffic, at most")
    parser.add_argument("--equal", type=int, default=10, help="trials of an equal bundle")
    arguments = parser.parse_args()
    config = load_config(DEMO_CONFIG, {}, [f"ranking.head={arguments.head}", _COMPARED])
    settings = replace(Settings(), seed=arguments.seed, backfill_hours=arguments.past_hours)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shop = Shop(settings, config, folder)
        data = shop.recommender.data
        for name, bundle in {
            "vectors shuffled": shuffled(shop.incumbent, folder, config),
            "old data": shop.early,
        }.items():
            verdict = judged(bundle, shop.incumbent, data)
            print(f"{name:17s} held out: {verdict.decision}, {verdict.reason}", flush=True)
        bundles = {
            "vectors shuffled": shuffled(shop.current, folder, config),
            "old data": shop.early,
            **{
                f"equal {trial}": shop.recommender.trained_anew(seed=100 + trial)
                for trial in range(1, arguments.equal + 1)
            },
        }
        for name, bundle in bundles.items():
            print(f"{name:17s} {shop.meet(bundle, shop.current, arguments.minutes)}", flush=True)


if __name__ == "__main__":
    main()
