"""How is a log evaluated from the command line?"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.recommender import FitProgress
from models.registry import RECOMMENDERS
from streams.commands.options import config_from, with_config
from streams.comparison import NotComparable, compare
from streams.config import Config
from streams.evaluate import Evaluation
from streams.evaluate import evaluate as run_evaluation
from streams.evaluation_plan import Start
from streams.evaluation_result import Ranked, Result, encode_result
from streams.event_file import EventFileError
from streams.finished_log import read_log
from streams.offline import NothingToLearn, evaluate_offline
from streams.offline_result import encode_offline_result

_STREAM: Final = "stream"
_LEAVE_ONE_OUT: Final = "leave-one-out"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--protocol",
    type=click.Choice((_STREAM, _LEAVE_ONE_OUT)),
    default=_STREAM,
    show_default=True,
    help="leave-one-out is for comparison with papers; the options but --model are of stream.",
)
@click.option(
    "--model",
    "models",
    type=click.Choice(sorted(RECOMMENDERS)),
    multiple=True,
    help="Of leave-one-out; again for another; all without it.",
)
@click.option(
    "--evaluate-from",
    "start",
    default="0.5",
    show_default=True,
    metavar="FRACTION|MS",
    help="A fraction of the events, or an event time in Unix milliseconds.",
)
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the label actions that is evaluated; all are learned from.",
)
@click.option("--seed", default=7, show_default=True, help="Of the sample.")
@click.option(
    "--train-every",
    type=click.FloatRange(min=1),
    metavar="MINUTES",
    help="Refresh a transformer each so many minutes of event time; without it, none is used.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where RESULT.json goes; its picture goes beside it.",
)
@with_config
def evaluate(
    file: Path,
    protocol: str,
    models: tuple[str, ...],
    start: str,
    sample: float,
    seed: int,
    train_every: float | None,
    out: Path | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Run the live pipeline and learner over FILE, and say how good their answers were.

    With --protocol leave-one-out, train models on FILE and ask each for every user's last item.
    """
    config = config_from(config_file, overrides)
    if protocol == _LEAVE_ONE_OUT:
        _leave_one_out(file, models or tuple(RECOMMENDERS), config, overrides, out)
        return
    try:
        begin = Start.parse(start)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--evaluate-from") from error
    evaluation = Evaluation(
        path=file,
        start=begin,
        sample=sample,
        seed=seed,
        overrides=overrides,
        train_interval_ms=None if train_every is None else int(train_every * 60_000),
    )
    with Progress(
        TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as bar:
        task = bar.add_task("", total=None)
        result = run_evaluation(
            evaluation,
            config,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    if out is not None:
        out.write_bytes(encode_result(result))
        _draw(out, result)
    _print(Console(), result)


def _leave_one_out(
    file: Path,
    models: tuple[str, ...],
    config: Config,
    overrides: tuple[str, ...],
    out: Path | None,
) -> None:
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as bar:
        tasks = {name: bar.add_task(name, total=1.0) for name in models}

        def on_progress(name: str, progress: FitProgress) -> None:
            bar.update(tasks[name], completed=progress.done)

        try:
            log = read_log(str(file), config)
            result = evaluate_offline(
                models, log, config, overrides=overrides, on_progress=on_progress
            )
        except (EventFileError, NothingToLearn) as error:
            raise click.ClickException(str(error)) from error
    if out is not None:
        out.write_bytes(encode_offline_result(result))
    table = Table(title=f"leave-one-out, {result.questions:,} users, {result.items:,} items")
    for name in ("", "HR@10", "HR@20", "NDCG@10", "MRR@20", "pass", "CPU s"):
        table.add_column(name)
    for name, run in result.models.items():
        test = run.test
        figures = map(_figure, (test.hr_10, test.hr_20, test.ndcg_10, test.mrr_20))
        table.add_row(name, *figures, str(run.best_pass), f"{run.fit_cpu_s:.0f}")
    Console().print(table)


def _draw(out: Path, result: Result) -> None:
    """Put the run's picture beside its result, if anything was evaluated."""
    from streams.pictures import picture  # noqa: PLC0415  # matplotlib takes a second to import

    runs = {out.stem: result}
    with contextlib.suppress(NotComparable):
        out.with_suffix(".svg").write_bytes(picture(runs, compare(runs)))


def _print(console: Console, result: Result) -> None:
    found = result.next_item
    if found is not None:
        table = Table(title=f"next item, {found.evaluated:,} actions")
        for name in ("", "HR@10", "HR@20", "NDCG@10", "MRR@20"):
            table.add_column(name)
        table.add_row("served", *_cells(found.served))
        table.add_row("asked", *_cells(found.asked))
        console.print(table)
    click_quality = result.click
    if click_quality is not None:
        table = Table(title=f"p(click), {click_quality.impressions:,} shown items")
        for name in ("NE", "AUC", "MRR", "calibration"):
            table.add_column(name)
        shown = (
            click_quality.ne,
            click_quality.auc,
            click_quality.mrr,
            click_quality.calibration,
        )
        table.add_row(*map(_figure, shown))
        console.print(table)
    cost = result.cost
    console.print(
        f"{cost.events:,} events in {cost.cpu_s:.0f} CPU s, at most {cost.peak_rss_mb:.0f} MB"
    )


def _cells(ranked: Ranked) -> tuple[str, ...]:
    return tuple(
        _figure(value) for value in (ranked.hr_10, ranked.hr_20, ranked.ndcg_10, ranked.mrr_20)
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
