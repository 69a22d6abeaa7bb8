"""What does ordering a list by a ranker's bundle cost, and how large is the bundle?

`python -m benchmarks.served_rankers` prints what scoring the 300 candidates of a list takes each
servable ranker, in CPU time: where a worker scores 16 lists in one go, and one alone; the size of
its bundle; and the CPU time of training on 2,000 slates of 20 items. Features are drawn at random:
what was learned does not change what asking costs, but for the depth of trees. Computing the
candidates' features, which only heads that rank by them need, comes on top (benchmarks/pipeline.py,
`click`).
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from models.rankers.ranker_bundle import RankerHead, RankerProvenance, ServedRanker
from models.rankers.registry import SERVABLE_RANKERS
from models.rankers.slate_ranker import SlateRanker, SlateShape
from streams.config import config_of

_NUM_CANDIDATES: Final = 300
_NUM_LISTS: Final = 16
_NUM_SLATES: Final = 2_000
_SLATE_SIZE: Final = 20
_NUM_ROUNDS: Final = 15
_MAX_BINS: Final = 12
_PROVENANCE: Final = RankerProvenance(created_ms=1, cutoff_offset=0, cutoff_ms=0, metrics={})


def main() -> None:
    """Measure and print."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: threads of BLAS fight for the one core")
    shape = config_of({}).slate_shape()
    for name in SERVABLE_RANKERS:
        head = RankerHead(name=name, shape=shape)
        begun_s = time.process_time()
        ranker = _trained(head)
        trained_s = time.process_time() - begun_s
        with tempfile.TemporaryDirectory() as scratch:
            bundle = head.save(Path(scratch) / "bundle", ranker, _PROVENANCE)
            size_mb = sum(file.stat().st_size for file in bundle.folder.iterdir()) / 1e6
            served = ServedRanker(head, bundle)
        draws = np.random.default_rng(2)
        candidates = _rows(shape, _NUM_CANDIDATES * _NUM_LISTS, draws)[:, : shape.num_relevance]
        relevance = np.ascontiguousarray(candidates)
        sizes = np.full(_NUM_LISTS, _NUM_CANDIDATES)
        together_ms = _cpu_ms(served, relevance, sizes) / _NUM_LISTS
        alone_ms = _cpu_ms(served, relevance[:_NUM_CANDIDATES], sizes[:1])
        print(
            f"{name:18s}{together_ms:7.2f} ms a list of {_NUM_LISTS}{alone_ms:7.2f} ms alone"
            f"{size_mb:7.1f} MB{trained_s:7.1f} s of training",
            flush=True,
        )


def _trained(head: RankerHead) -> SlateRanker:
    draws, ranker, num_relevance = (
        np.random.default_rng(1),
        head.untrained(),
        head.shape.num_relevance,
    )
    for _ in range(_NUM_SLATES):
        rows = _rows(head.shape, _SLATE_SIZE, draws)
        labels = np.arange(_SLATE_SIZE) == rows[:, 0].argmax()
        watch_times = np.where(labels, 30.0, np.nan)
        ranker.learn(rows[:, :num_relevance], rows[:, num_relevance:], labels, watch_times)
    return ranker.refresh() or ranker


def _rows(shape: SlateShape, num: int, draws: np.random.Generator) -> npt.NDArray[np.int32]:
    num_bins = np.minimum(np.diff(shape.offsets), _MAX_BINS)
    bins = (draws.random((num, len(num_bins))) * num_bins).astype(np.int64)
    return (shape.offsets[:-1] + bins).astype(np.int32)


def _cpu_ms(
    served: ServedRanker, relevance: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64]
) -> float:
    spent_ms = []
    for _ in range(_NUM_ROUNDS):
        begun_s = time.process_time()
        served.scores(relevance, sizes)
        spent_ms.append(1000 * (time.process_time() - begun_s))
    return median(spent_ms)


if __name__ == "__main__":
    main()
