"""How long does it take to rank 300 candidates of one user, features included?

`python -m benchmarks.ranking` prints CPU time on one core, the median of many users who each have
200 actions: what the sources propose (recall), how they score exactly 300 candidates and what the
head sees of them (features), and the order that it gives to them (rank; where lists are explored,
with the propensities of every list), for one user at a time and for 16 together. The encoder, an
untrained one of the default size, is a column of its own.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.population import NOW_MS, NUM_ITEMS, old_states, teach, user_names
from featurestore.catalogue import Catalogue
from featurestore.events import UserId
from featurestore.keys import item_key
from featurestore.state import UserState
from models.encoder import SequenceEncoder
from streams.config import config_of
from streams.pipeline.composition import build_pipeline
from streams.pipeline.list_requests import Trigger
from streams.pipeline.live import LiveModels
from streams.pipeline.pipeline import Pipeline

_NUM_USERS = 320
_NUM_CANDIDATES = 300
_VARIANTS = {
    "sources": (),
    "choice": ('online.heads=["choice"]',),
    "click": ('online.heads=["click"]',),
    "explored": ("exploration.share=0.1",),
    "explored, all": ("exploration.share=0.1", "exploration.depth=300"),
    "explored, capped": ("exploration.share=0.1", "ranking.category_cap=2"),
}
"""What the re-ranker sees beside the sources, or how lists are drawn."""


class _CpuLaps:
    """Adds up the CPU time of each stage."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._last_s = time.process_time()

    def lap(self, stage: str) -> None:
        """See `streams.pipeline.stopwatch.Laps`."""
        now_s = time.process_time()
        self.spent_s[stage] += now_s - self._last_s
        self._last_s = now_s


def main() -> None:
    """Measure and print."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: threads of BLAS fight for the one core")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    users = list(zip(user_names(_NUM_USERS), old_states(_NUM_USERS), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        encoder = _encoder(Path(folder) / "bundle")
        for variant, settings in _VARIANTS.items():
            pipeline, live = _models(settings)
            for num_together in (1, 16):
                # Anew, so that its answers of the last run are not known.
                live.use(encoder)
                _report(variant, num_together, _measure(pipeline, live, users, num_together))


def _encoder(folder: Path) -> SequenceEncoder:
    command = [sys.executable, "-m", "benchmarks.untrained_bundle", str(folder), str(NUM_ITEMS)]
    subprocess.run(command, check=True)  # noqa: S603  (the interpreter that runs this)
    return SequenceEncoder.load(folder, key_of=item_key)


def _models(settings: Sequence[str]) -> tuple[Pipeline, LiveModels]:
    overrides = [
        *settings,
        "ranking.slate_sample_rate=0",
        # So many that 300 are left when those acted upon are out.
        "retrieval.limits.trending=600",
    ]
    config = config_of({}, {}, overrides)
    online = config.online_models()
    teach(online)
    live = LiveModels(online, Catalogue(numeric=config.features.numeric))
    return build_pipeline(config, live), live


def _measure(
    pipeline: Pipeline,
    live: LiveModels,
    users: Sequence[tuple[str, UserState]],
    num_together: int,
) -> dict[str, float]:
    """Microseconds a user of each stage, the median over batches."""
    of_batches: defaultdict[str, list[float]] = defaultdict(list)
    for start in range(0, len(users), num_together):
        batch = users[start : start + num_together]
        laps = _CpuLaps()
        listing = pipeline.lists_at(
            start,
            0,
            {
                UserId(user_id): (state, Trigger(user_id, {"device": "mobile"}))
                for user_id, state in batch
            },
            live,
            computed_at_ms=NOW_MS,
            laps=laps,
        )
        if any(len(one.candidates) != _NUM_CANDIDATES for one in listing.ranked):
            raise SystemExit(f"expected {_NUM_CANDIDATES} candidates for every user")
        for stage, spent_s in laps.spent_s.items():
            of_batches[stage].append(spent_s / len(batch) * 1e6)
    return {stage: median(spent) for stage, spent in of_batches.items()}


def _report(variant: str, num_together: int, spent_us: dict[str, float]) -> None:
    stages = ", ".join(f"{stage} {spent:.0f}" for stage, spent in spent_us.items())
    ranking_us = spent_us["features"] + spent_us["rank"]
    print(
        f"{variant:17s}{num_together:3d} together: {ranking_us:5.0f} us to score, feature and rank "
        f"{_NUM_CANDIDATES} candidates, {sum(spent_us.values()):5.0f} us a list ({stages})",
        flush=True,
    )


if __name__ == "__main__":
    main()
