"""How does a log of one's own, or a public one, become events in Kafka?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from featurestore.events import Event
from streams.commands.options import config_from, with_config
from streams.convert.globo import globo_events
from streams.convert.movielens import movielens_events
from streams.convert.trivago import trivago_events
from streams.event_file import read_values, write_events
from streams.replay import Pace
from streams.replay import replay as replay_file

_LOGS: Final[dict[str, Callable[[Path], Iterator[Event]]]] = {
    "globo": globo_events,
    "trivago": trivago_events,
    "movielens": movielens_events,
}
_FILE: Final = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("log", type=click.Choice(sorted(_LOGS)))
@click.argument("source", type=_FILE)
@click.argument("target", type=click.Path(path_type=Path))
def convert(log: str, source: Path, target: Path) -> None:
    """Write the LOG at SOURCE as an event file TARGET (.jsonl or .jsonl.gz)."""
    with Progress(TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}")) as bar:
        task = bar.add_task(f"events of {log}", total=None)
        count = write_events(target, _LOGS[log](source), on_event=lambda: bar.advance(task))
    click.echo(f"{count} events in {target}")


@click.command()
@click.argument("file", type=_FILE)
@click.option("--speed", type=float, help="Event time over wall time; without it, flat out.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Remember here what was acknowledged, and go on from there.",
)
@with_config
def replay(
    file: Path,
    speed: float | None,
    resume: Path | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Send the events of FILE to Kafka, keyed by their user."""
    kafka = config_from(config_file, overrides).kafka
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
