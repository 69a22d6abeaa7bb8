"""Is a bad bundle found out on the traffic of the demo, and is an equal one left alone?

    python -m benchmarks.rollback --head next

The shop of the demo after its past, in simulated time and in one process. A bundle that was trained
on the past is in use; then each of these takes its place by force, with the former one standing by:
one whose item vectors are shuffled, one that was trained on the past's first hour only, and bundles
that were trained like the one in use from other random weights, as often as `--trials` says. Each
line tells what the live gate decided, after how many actions, and for how many seconds of the
demo's live traffic that stands. As candidates, beside the one in use, the same are judged again.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.storefront import HOUR_MS, START_MS, InProcess
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from models.bundle import Bundle
from models.transformer.bundling import Provenance, restore_state, write_state
from models.transformer.state import TrainingState
from streams.announcements import ANNOUNCEMENT_VERSION, Announcement, Decision, Role
from streams.config import Config, load_config
from streams.demo import DEMO_CONFIG
from streams.live_gate import LiveGate, Word

_NOW_S = 0.0
"""No deadline passes: what is asked is how much traffic a decision takes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a bundle."""

    words: list[Word]
    num_compared: int
    num_sessions: int


class Shop:
    """A recommender that knows the past, and the traffic that goes on from there."""

    def __init__(self, settings: Settings, config: Config, folder: Path) -> None:
        """Go through the past."""
        self._config = config
        self.recommender = InProcess(config, folder)
        self._shop = Storefront(settings, START_MS, read=self.recommender.read)
        self._now_ms = START_MS + round(settings.backfill_hours * HOUR_MS)
        early_ms = START_MS + HOUR_MS
        for event in self._shop.events(early_ms):
            self.recommender.take(event)
        self.early = self.recommender.trained_anew(seed=1)
        for event in self._shop.events(self._now_ms):
            self.recommender.take(event)
        self.current = self.recommender.trained_anew(seed=2)
        self.recommender.trains = False
        self.recommender.wants_lists = True
        self._shop.serve_halves()

    def meet(self, current: Bundle, challenger: Bundle, decision: Decision) -> Outcome:
        """Let two bundles meet until the gate has decided."""
        gate = LiveGate(self._config.gate)
        gate.announced(Role.CURRENT, _said(current, Decision.PROMOTE), now_s=_NOW_S)
        gate.announced(Role.CHALLENGER, _said(challenger, decision), now_s=_NOW_S)
        self.recommender.use(current, challenger)
        num_compared = num_sessions = 0
        for is_visit in self._traffic():
            num_sessions += is_visit
            gate.take(self.recommender.compared)
            num_compared += len(self.recommender.compared)
            self.recommender.compared.clear()
            if words := gate.decide(_NOW_S):
                return Outcome(words, num_compared, num_sessions)
        raise AssertionError("the traffic has no end")

    def _traffic(self) -> Iterator[bool]:
        """Go on, event by event; say of each whether a session began with it."""
        sessions: set[str] = set()
        while True:
            self._now_ms += 60_000
            for event in self._shop.events(self._now_ms):
                self.recommender.take(event)
                session = getattr(event, "session_id", None)
                is_new = session is not None and session not in sessions
                if session is not None:
                    sessions.add(session)
                yield is_new


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


def shuffled(bundle: Bundle, folder: Path, config: Config) -> Bundle:
    """The bundle with its item vectors dealt out at random."""
    state: TrainingState = restore_state(bundle, learning_rate=0.0)
    order = np.random.default_rng(1).permutation(len(bundle.item_ids)) + 1
    state.items.vectors[1:] = state.items.vectors[order]
    provenance = Provenance(
        created_ms=bundle.config.created_ms,
        cutoff_offset=bundle.config.cutoff_offset,
        cutoff_ms=bundle.config.cutoff_ms,
        metrics={},
    )
    target = config.action_table().spec(config.trainer.target_action).code
    return write_state(folder / "shuffled", state, provenance, target_action=target)


def main() -> None:
    """Run all trials in one shop, one after the other, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--head", default="next", choices=["next", "choice", "click"])
    parser.add_argument("--trials", type=int, default=10, help="of equal bundles")
    arguments = parser.parse_args()
    config = load_config(DEMO_CONFIG, {}, [f"ranking.head={arguments.head}"])
    settings = replace(Settings(), seed=arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shop = Shop(settings, config, folder)
        bad = {"vectors shuffled": shuffled(shop.current, folder, config), "old data": shop.early}
        equal = {
            f"equal {number}": shop.recommender.trained_anew(seed=100 + number)
            for number in range(arguments.trials)
        }
        for name, bundle in {**bad, **equal}.items():
            forced = shop.meet(bundle, shop.current, Decision.STANDBY)
            report(f"{name}, forced", forced, settings)
            proposed = shop.meet(shop.current, bundle, Decision.CANDIDATE)
            report(f"{name}, candidate", proposed, settings)


def report(name: str, outcome: Outcome, settings: Settings) -> None:
    """Print a line."""
    word = outcome.words[0]
    demo_s = outcome.num_sessions / settings.live_sessions_per_s
    print(
        f"{name:28s} {word.announcement.decision:14s} after {outcome.num_compared:5d} actions, "
        f"{demo_s:4.0f} s of the demo: {word.announcement.reason}",
        flush=True,
    )


if __name__ == "__main__":
    main()
