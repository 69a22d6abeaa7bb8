"""How does a log of one's own, or a public one, become events in Kafka?"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from polars.exceptions import PolarsError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.commands.options import config_from, with_config
from streams.convert import CATALOGUES, CONVERTERS
from streams.event_file import read_values, write_events
from streams.replay import Pace, send_items
from streams.replay import replay as replay_file

_FILE: Final = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("log", type=click.Choice(sorted(CONVERTERS)))
@click.argument("source", type=_FILE)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--items",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Write here what the log tells of its items ({', '.join(CATALOGUES)}), as the topic of "
    "items: `replay`, `train` and `evaluate` read it with --items.",
)
def convert(log: str, source: Path, target: Path, items: Path | None) -> None:
    """Write the LOG at SOURCE as an event file TARGET (.jsonl or .jsonl.gz)."""
    if items is not None and log not in CATALOGUES:
        raise click.BadParameter(f"{log} tells nothing of its items", param_hint="--items")
    with Progress(TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}")) as bar:
        task = bar.add_task(f"events of {log}", total=None)
        try:
            events = CONVERTERS[log](source)
            count = write_events(target, events, on_event=lambda: bar.advance(task))
            num_items = write_events(items, CATALOGUES[log](source)) if items is not None else 0
        except (ValueError, OSError, PolarsError) as error:
            raise click.ClickException(f"{log}: {error}") from error
    click.echo(f"{count} events in {target}")
    if items is not None:
        click.echo(f"{num_items} items in {items}")


@click.command()
@click.argument("file", type=_FILE)
@click.option("--speed", type=float, help="Event time over wall time; without it, flat out.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Remember here what was acknowledged, and go on from there.",
)
@click.option(
    "--items",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Send these records of the catalogue, JSON lines, to the topic of items before.",
)
@with_config
def replay(
    file: Path,
    speed: float | None,
    resume: Path | None,
    items: Path | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Send the events of FILE to Kafka, keyed by their user."""
    kafka = config_from(config_file, overrides).kafka
    if items is not None:
        click.echo(f"{send_items(items, kafka.brokers, kafka.topics.items)} items sent")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as bar:
        task = bar.add_task("counting", total=None)
        num_events = sum(1 for _ in read_values(file))
        bar.update(task, description="replaying", total=num_events)
        done = replay_file(
            file,
            kafka.brokers,
            kafka.topics.events,
            pace=Pace(speed=speed),
            resume=resume,
            on_progress=lambda count: bar.update(task, completed=count),
        )
    click.echo(f"{done.num_sent} events sent, {done.num_skipped} had been sent before")
