"""How is one model trained from a log by the command line?"""

from __future__ import annotations

import time
from pathlib import Path

import click
from aiokafka.errors import KafkaError
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.registry import RECOMMENDERS, new_recommender
from streams.commands.options import config_from, with_config
from streams.engine import UnreadableTopicError
from streams.event_file import EventFileError
from streams.finished_log import read_log
from streams.offline import Judge, NothingToLearn, split_of


@click.command()
@click.argument("model", type=click.Choice(sorted(RECOMMENDERS)))
@click.option(
    "--from",
    "source",
    required=True,
    metavar="FILE|kafka",
    help="An event file, or what the topic of events holds now.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of the bundle; by default a new one in trainer.folder.",
)
@click.option("--seed", default=1, show_default=True, help="Of models that begin at random.")
@with_config
def train(
    model: str,
    source: str,
    out: Path | None,
    seed: int,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Train MODEL on the positive actions of a finished log, and save it as a bundle.

    Each user's last two actions are held out: training stops by the first of them.
    """
    config = config_from(config_file, overrides)
    created_ms = time.time_ns() // 1_000_000
    folder = out or Path(config.trainer.folder) / f"offline-{model}-{created_ms}"
    if folder.exists():
        raise click.ClickException(f"{folder} exists; bundles are never overwritten: choose a name")
    try:
        split = split_of(read_log(source, config))
    except (NothingToLearn, EventFileError, UnreadableTopicError, KafkaError) as error:
        raise click.ClickException(str(error)) from error
    seeds = {"seed": seed} if "seed" in new_recommender(model).settings() else {}
    recommender, judge = new_recommender(model, **seeds), Judge(split.validation)
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(model, total=1.0)
        for progress in recommender.fit(split.training, validate=judge):
            told = (
                "" if progress.loss is None else f" pass {progress.epoch} loss {progress.loss:.3f}"
            )
            bar.update(task, completed=progress.done, description=model + told)
        bar.update(task, completed=1.0)
    ndcg = judge(recommender)
    bundle = recommender.save(folder, created_ms=created_ms, metrics={"validation_ndcg@10": ndcg})
    click.echo(f"{bundle.digest[:12]} in {folder}: NDCG@10 {ndcg:.4f} on held-out actions")
