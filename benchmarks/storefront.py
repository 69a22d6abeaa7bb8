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
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.in_process import InProcess, of_shop
from deploy.storefront.report import Report, for_settings
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from streams.config import Config, load_config
from streams.demo.demo import DEMO_CONFIG

START_MS: Final = 1_790_000_000_000
HOUR_MS: Final = 3_600_000


def in_process(config: Config, folder: Path) -> InProcess:
    """Return what a shop's events go through; it is trained every hour, from the second on."""
    return InProcess(config, folder, train_from_ms=START_MS + 2 * HOUR_MS, train_every_ms=HOUR_MS)


def run(settings: Settings, config: Config, *, live_hours: float) -> Report:
    """Return what a shop's halves came to after its past."""
    with tempfile.TemporaryDirectory() as scratch:
        recommender = in_process(config, Path(scratch))
        shop = Storefront(settings, START_MS, read=recommender.read)
        live_ms = START_MS + round(settings.backfill_hours * HOUR_MS)
        for event in of_shop(shop.events(live_ms)):
            recommender.take(event)
        recommender.wants_lists = True
        shop.serve_halves()
        for event in of_shop(shop.events(live_ms + round(live_hours * HOUR_MS))):
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
