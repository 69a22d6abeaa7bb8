"""Do settings that were chosen on one day of the news log hold on the days after it?

    headrace convert globo LOG.parquet globo.jsonl.gz
    python -m benchmarks.transfer globo.jsonl.gz

Hours 24 to 48 choose: each setting of `CHOICES` is tried in every value, the others as
headrace.toml has them, and the value with the best MRR@20 of the lists served is taken. Hours 48 to
96, of which nothing was chosen, report: the settings taken, headrace.toml's, and every source
alone, on the same clicks (a tenth of all, drawn with seed 7). No transformer.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from streams.event_file import read_values

CHOICES: Final[tuple[tuple[Mapping[str, str], ...], ...]] = (
    (
        {"online.covisitation.half_life_ms": "900000"},
        {"online.covisitation.half_life_ms": "3600000"},
    ),
    ({"online.covisitation.strength": "2.0"}, {"online.covisitation.strength": "8.0"}),
    (
        {
            "online.popularity.half_lives_ms": "[180000,900000]",
            "online.contexts.half_life_ms": "900000",
        },
        {
            "online.popularity.half_lives_ms": "[720000,3600000]",
            "online.contexts.half_life_ms": "3600000",
        },
    ),
    ({"online.reranker.learning_rate": "0.05"}, {"online.reranker.learning_rate": "0.2"}),
)
"""What is tried beside headrace.toml's values: half and twice as much of each."""

_HOUR_MS: Final = 3_600_000


def evaluated(log: Path, from_ms: int, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return RESULT.json of one evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        told = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "streams", "evaluate", str(log), "--sample", "0.1"]
        subprocess.run(  # noqa: S603 - our own program
            [*command, "--evaluate-from", str(from_ms), *told, "--out", str(out)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def _line(name: str, scores: Mapping[str, float]) -> str:
    return f"{name:60s} HR@20 {scores['hr@20']:.4f}  MRR@20 {scores['mrr@20']:.4f}"


def _ts_ms(value: bytes) -> int:
    return int(json.loads(value)["ts_ms"])


def _until(log: Path, end_ms: int, folder: Path) -> Path:
    """Write what the log has before a moment."""
    part = folder / "until.jsonl.gz"
    lines = itertools.takewhile(lambda value: _ts_ms(value) < end_ms, read_values(log))
    with gzip.open(part, "wb", compresslevel=1) as file:
        file.writelines(line + b"\n" for line in lines)
    return part


def main() -> None:
    """Choose, report, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    first_ms = _ts_ms(next(read_values(arguments.log)))
    chosen: dict[str, str] = {}
    second_day_ms, third_day_ms = (first_ms + hours * _HOUR_MS for hours in (24, 48))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.processes) as pool:
        days = _until(arguments.log, third_day_ms, Path(folder))
        tried = [{}, *itertools.chain.from_iterable(CHOICES)]
        results = pool.map(lambda one: evaluated(days, second_day_ms, one), tried)
        served = [result["next_item"]["served"] for result in results]
        for one, scores in zip(tried, served, strict=True):
            print(_line(f"hours 24-48 {one or 'headrace.toml'}", scores), flush=True)
        of = dict(zip(map(str, tried), (scores["mrr@20"] for scores in served), strict=True))
        for values in CHOICES:
            best = max(({}, *values), key=lambda one: of[str(one)])
            chosen.update(best)
        reported = {"headrace.toml": {}, f"chosen {chosen}": chosen}
        if not chosen:
            reported = {"chosen, as in headrace.toml": {}}
        finals = pool.map(
            lambda one: evaluated(arguments.log, third_day_ms, one), reported.values()
        )
        for name, result in zip(reported, finals, strict=True):
            print(_line(f"hours 48-96 {name}", result["next_item"]["served"]))
            for source, scores in result["sources"].items():
                print(_line(f"    {source} alone", scores["served"]))


if __name__ == "__main__":
    main()
