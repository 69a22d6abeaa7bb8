"""How is one model trained from a log by the command line?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from aiokafka.errors import KafkaError
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.rankers.ranker_bundle import RANKER_PREFIX, RankerHead
from models.rankers.registry import SERVABLE_RANKERS
from models.recommender import KIND_PREFIX
from models.registry import RECOMMENDERS, new_recommender
from streams.commands.options import config_from, with_config, with_items
from streams.config import Config
from streams.engine import UnreadableTopicError
from streams.evaluation.offline import Judge, NothingToLearn, split_of
from streams.event_file import EventFileError
from streams.examples import ExamplesCorrupt
from streams.finished_log import FinishedLog, read_log
from streams.source_partitions import GapInExamples
from streams.trainer.ranker_training import NoSlates, save_trained, slates_of, train_ranker


@click.command()
@click.argument("model", type=click.Choice(sorted((*RECOMMENDERS, *SERVABLE_RANKERS))))
@click.option(
    "--from",
    "source",
    required=True,
    metavar="FILE|kafka",
    help="An event file, or what Kafka holds now: the events or, for rankers, the examples.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of the bundle; by default a new one in trainer.folder.",
)
@with_items
@click.option("--seed", default=1, show_default=True, help="Of models that begin at random.")
@with_config
def train(
    model: str,
    source: str,
    out: Path | None,
    items: Path | None,
    seed: int,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Train MODEL on a finished log, and save it as a bundle.

    Models of the next item learn from positive actions; each user's last two are held out: training
    stops by the first of them. Rankers (pairwise, watch_time, wide_deep, xgboost_*) learn from the
    slates shown and the clicks that answered them; the newest tenth is judged before it is learned.
    """
    config = config_from(config_file, overrides)
    created_ms = time.time_ns() // 1_000_000
    kind = (RANKER_PREFIX if model in SERVABLE_RANKERS else KIND_PREFIX) + model
    folder = out or Path(config.trainer.folder) / f"{kind}-{created_ms}"
    if folder.exists():
        raise click.ClickException(f"{folder} exists; bundles are never overwritten: choose a name")
    if model in SERVABLE_RANKERS:
        if items is not None:
            raise click.UsageError(f"--items: {model} learns from slates; leave it out")
        _train_ranker(model, source, folder, config, created_ms)
    else:
        read = partial(read_log, source, config, items=items)
        _train_recommender(model, read, folder, created_ms, seed)


def _train_ranker(model: str, source: str, folder: Path, config: Config, created_ms: int) -> None:
    head = RankerHead(name=model, shape=config.slate_shape())
    try:
        slates = slates_of(source, config)
        with _bar() as bar:
            task = bar.add_task(model, total=1.0)
            trained = train_ranker(
                head, slates.newest(), lambda done: bar.update(task, completed=done)
            )
    except (
        NoSlates,
        EventFileError,
        UnreadableTopicError,
        KafkaError,
        ExamplesCorrupt,
        GapInExamples,
    ) as error:
        raise click.ClickException(str(error)) from error
    trained = replace(trained, cutoff_offset=slates.next_offset)
    bundle = save_trained(trained, folder, created_ms=created_ms)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    if slates.num_other:
        click.echo(f"{slates.num_other} slates were left out: featured under another layout")
    click.echo(
        f"{bundle.digest[:12]} in {folder}: {trained.num_slates} slates; of the held-out ones "
        f"{figures}"
    )


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())


def _train_recommender(
    model: str, read: Callable[[], FinishedLog], folder: Path, created_ms: int, seed: int
) -> None:
    try:
        split = split_of(read())
    except (NothingToLearn, EventFileError, UnreadableTopicError, KafkaError) as error:
        raise click.ClickException(str(error)) from error
    seeds = {"seed": seed} if "seed" in new_recommender(model).settings() else {}
    recommender, judge = new_recommender(model, **seeds), Judge(split.validation)
    with _bar() as bar:
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
