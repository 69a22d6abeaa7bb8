"""What does a live list cost with each model of `headrace train` as a source, and how large is it?

`python -m benchmarks.served_models` prints the CPU time of asking a served model about one user of
200 actions, the median of 100 users, over 5,000 items; the size of its bundle; and the CPU time of
training on 25,000 actions. Networks are trained for one pass and ALS for one: what they have
learned does not change what asking them costs.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.population import NUM_ACTIONS, NUM_ITEMS, item_name, popular
from models.history import History, HistoryEvent
from models.recommender import UserSequence
from models.registry import SERVABLE, new_recommender
from models.served import load_served

_NUM_ASKED: Final = 100
_NUM_LEARNED: Final = 20_000
_NUM_USERS: Final = 400
_START_S: Final = 1_700_000_000
_ONE_PASS: Final[Mapping[str, Mapping[str, Any]]] = {
    "als": {"max_passes": 1},
    **{
        name: {"training": {"max_epochs": 1}}
        for name in ("autoencoder", "lstm", "two_tower", "youtube")
    },
}


def main() -> None:
    """Measure and print."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: threads of BLAS fight for the one core")
    generator = np.random.default_rng(1)
    history = _history(generator)
    asked = [
        UserSequence(
            user=user,
            items=popular(generator, NUM_ACTIONS).astype(np.int32),
            actions=np.ones(NUM_ACTIONS, np.uint8),
            times_s=(_START_S + np.arange(NUM_ACTIONS)).astype(np.uint32),
        )
        for user in range(_NUM_ASKED)
    ]
    for name in SERVABLE:
        begun_s = time.process_time()
        model = new_recommender(name, **_ONE_PASS.get(name, {}))
        for _ in model.fit(history):
            pass
        fit_s = time.process_time() - begun_s
        with tempfile.TemporaryDirectory() as scratch:
            bundle = model.save(Path(scratch) / "bundle")
            served = load_served(bundle)
            size_mb = sum(file.stat().st_size for file in bundle.folder.iterdir()) / 1e6
        spent_ms = []
        for sequence in asked:
            begun_s = time.process_time()
            served.scores([sequence])
            spent_ms.append(1000 * (time.process_time() - begun_s))
        print(
            f"{name:12s}{median(spent_ms):7.2f} ms a list{size_mb:8.1f} MB"
            f"{fit_s:7.1f} s of training",
            flush=True,
        )


def _history(generator: np.random.Generator) -> History:
    """Every item once, by a few users, then actions on items of a power law."""
    items = [*range(NUM_ITEMS), *popular(generator, _NUM_LEARNED).tolist()]
    history = History()
    history.append(
        (
            HistoryEvent(
                user_id=f"user-{number % _NUM_USERS}",
                time_s=_START_S + number,
                action=1,
                item_id=item_name(item),
            )
            for number, item in enumerate(items)
        ),
        from_offset=0,
        to_offset=1,
    )
    return history


if __name__ == "__main__":
    main()
