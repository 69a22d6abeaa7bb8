"""How are the three roles started? Each is a process; its exit code says why it ended."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from streams.commands.options import config_from, with_config


@click.command()
@with_config
def worker(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Fold users' events into states, and write their lists to Redis."""
    from streams.worker.worker import run_worker  # noqa: PLC0415  # only this role's imports

    _log_plainly()
    sys.exit(run_worker(config_from(config_file, overrides)))


@click.command()
@with_config
def learner(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Join impressions with clicks, and teach the online models."""
    from streams.learner.learner import run_learner  # noqa: PLC0415  # only this role's imports

    _log_plainly()
    sys.exit(run_learner(config_from(config_file, overrides)))


@click.command()
@with_config
def trainer(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Train the transformer on what was learned from, and announce what passes the gate."""
    from streams.trainer.trainer import run_trainer  # noqa: PLC0415  # torch takes seconds to import

    _log_plainly()
    sys.exit(run_trainer(config_from(config_file, overrides)))


def _log_plainly() -> None:
    """Log what we do; of the libraries' chatter only what asks for attention."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for package in ("streams", "models", "featurestore"):
        logging.getLogger(package).setLevel(logging.INFO)
    # The app reports its own life cycle through this logger, a dozen lines a start.
    logging.getLogger("streams.engine").setLevel(logging.WARNING)
