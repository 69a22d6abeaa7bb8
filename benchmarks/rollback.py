"""How much do lists depend on the bundle in the demo's shop, and what does the live gate decide?

    python -m benchmarks.rollback --head click

The shop after a short past, in simulated time and in one process. A bundle trained on that past
stands by while others are in use: one with its item vectors dealt out at random, one trained on the
past's first half, one trained like it from other random weights. Printed are the share of compared
actions for which both lists held the item at the same place, the mean reciprocal ranks, and their
difference with its standard error over actions; then the gate's decision, if it has come to one.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.storefront import HOUR_MS, START_MS, InProcess
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from models.bundle import Bundle
from models.transformer.bundling import Provenance, restore_state, write_state
from models.transformer.state import TrainingState
from streams.announcements import ANNOUNCEMENT_VERSION, Announcement, Decision, Role
from streams.config import Config, load_config
from streams.demo import DEMO_CONFIG
from streams.live_gate import Compared, LiveGate

_NOW_S = 0.0
"""No deadline passes: what is asked is what the traffic says."""
_SAMPLED = ("ranking.slate_sample_rate=0.5",)
"""More lists are compared than the demo would, which takes as many fewer sessions."""


class Shop:
    """A recommender that knows the past, and the traffic that goes on from there."""

    def __init__(self, settings: Settings, config: Config, folder: Path) -> None:
        """Go through the past."""
        self._config = config
        self.recommender = InProcess(config, folder)
        self._shop = Storefront(settings, START_MS, read=self.recommender.read)
        self._now_ms = START_MS + round(settings.backfill_hours * HOUR_MS)
        early_ms = (START_MS + self._now_ms) // 2
        for event in self._shop.events(early_ms):
            self.recommender.take(event)
        self.early = self.recommender.trained_anew(seed=1)
        for event in self._shop.events(self._now_ms):
            self.recommender.take(event)
        self.current = self.recommender.trained_anew(seed=2)
        self.recommender.trains = False
        self.recommender.wants_lists = True
        self._shop.serve_halves()

    @property
    def reranker_ranks(self) -> bool:
        """Whether the order that the re-ranker learned has taken over from the tuned one."""
        return self.recommender.live.online.reranker.has_taken_over

    def meet(
        self, current: Bundle, former: Bundle, num_actions: int
    ) -> tuple[npt.NDArray[np.float64], str]:
        """Compare two bundles on so many actions; say what the gate decided, too."""
        gate = LiveGate(self._config.gate)
        gate.announced(Role.CURRENT, _said(current, Decision.PROMOTE), now_s=_NOW_S)
        gate.announced(Role.CHALLENGER, _said(former, Decision.STANDBY), now_s=_NOW_S)
        self.recommender.use(current, former)
        found: list[Compared] = []
        decided = "none yet"
        for _ in self._traffic():
            new, self.recommender.compared = self.recommender.compared, []
            found += new
            gate.take(new)
            for word in gate.decide(_NOW_S):
                decided = f"{word.announcement.decision}: {word.announcement.reason}"
            if len(found) >= num_actions:
                break
        ranks = np.array([(one.rank, one.challenger_rank) for one in found])
        return ranks, decided

    def _traffic(self) -> Iterator[None]:
        """Go on without end, event by event."""
        while True:
            self._now_ms += 60_000
            for event in self._shop.events(self._now_ms):
                self.recommender.take(event)
                yield


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
    """Let every bundle meet the one that stands by, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--head", default="reranker", choices=["reranker", "choice", "click"])
    parser.add_argument("--past-hours", type=float, default=1.5)
    parser.add_argument("--actions", type=int, default=400, help="compared for each bundle")
    arguments = parser.parse_args()
    config = load_config(DEMO_CONFIG, {}, [f"ranking.head={arguments.head}", *_SAMPLED])
    settings = replace(Settings(), seed=arguments.seed, backfill_hours=arguments.past_hours)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shop = Shop(settings, config, folder)
        print(f"head {arguments.head}; the learned next order ranks: {shop.reranker_ranks}")
        bundles = {
            "vectors shuffled": shuffled(shop.current, folder, config),
            "old data": shop.early,
            "equal": shop.recommender.trained_anew(seed=100),
        }
        for name, bundle in bundles.items():
            ranks, decided = shop.meet(bundle, shop.current, arguments.actions)
            gains = 1 / ranks
            difference = gains[:, 0] - gains[:, 1]
            print(
                f"{name:17s} same {np.mean(difference == 0):.3f}  MRR {gains[:, 0].mean():.4f} and "
                f"{gains[:, 1].mean():.4f}, difference {difference.mean():+.4f} "
                f"({difference.std() / len(difference) ** 0.5:.4f})  gate: {decided}",
                flush=True,
            )


if __name__ == "__main__":
    main()
