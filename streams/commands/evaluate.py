"""How is a log evaluated from the command line?"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from streams.commands.offline_protocols import (
    ChosenModels,
    leave_one_out,
    temporal,
    with_models,
)
from streams.commands.options import config_from, with_config
from streams.commands.tables import figure
from streams.evaluation.comparison import NotComparable, compare, held_back
from streams.evaluation.evaluate import Evaluation
from streams.evaluation.evaluate import evaluate as run_evaluation
from streams.evaluation.plan import Start
from streams.evaluation.result import Ranked, Result
from streams.evaluation.temporal import Temporal
from streams.result_file import encode_result

_STREAM: Final = "stream"
_LEAVE_ONE_OUT: Final = "leave-one-out"
_TEMPORAL: Final = "temporal"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--protocol",
    type=click.Choice((_STREAM, _TEMPORAL, _LEAVE_ONE_OUT)),
    default=_STREAM,
    show_default=True,
    help="The live system; or models that learn from a log: temporal tests them on what came "
    "later, leave-one-out as papers do, and of the other options takes --model, --items and --out "
    "alone.",
)
@with_models
@click.option(
    "--evaluate-from",
    "start",
    default="0.5",
    show_default=True,
    metavar="FRACTION|MS",
    help="A fraction of the events (temporal: of the positive actions), or an event time in Unix "
    "milliseconds.",
)
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the label actions (temporal: of the positive ones) that is evaluated; all are "
    "learned from.",
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
    chosen: ChosenModels,
    start: str,
    sample: float,
    seed: int,
    train_every: float | None,
    out: Path | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Run the live pipeline and learner over FILE, and say how good their answers were.

    With --protocol temporal, train models on the older part of FILE and ask them about the newer;
    with leave-one-out, on all of FILE, and ask each for every user's last item.
    """
    config = config_from(config_file, overrides)
    if protocol == _LEAVE_ONE_OUT:
        leave_one_out(file, chosen, config, overrides, out)
        return
    try:
        begin = Start.parse(start)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--evaluate-from") from error
    if protocol == _TEMPORAL:
        asked = Temporal(
            models=chosen.models,
            variants=chosen.variants,
            start=begin,
            sample=sample,
            seed=seed,
            refresh_every_h=chosen.refresh_every_h,
            overrides=overrides,
        )
        temporal(file, asked, config, out, chosen.items)
        return
    if train_every is not None and config.trainer.reads_attributes and chosen.items is None:
        raise click.UsageError(
            "trainer.reads_attributes without --items, which would tell the attributes: add "
            "--items FILE, or leave trainer.reads_attributes out"
        )
    evaluation = Evaluation(
        path=file,
        start=begin,
        sample=sample,
        seed=seed,
        overrides=overrides,
        train_interval_ms=None if train_every is None else int(train_every * 60_000),
        items=chosen.items,
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


def _draw(out: Path, result: Result) -> None:
    """Put the run's picture beside its result, if anything was evaluated."""
    from streams.evaluation.pictures import freshness_picture, picture  # noqa: PLC0415  # matplotlib is slow

    runs = {out.stem: result}
    with contextlib.suppress(NotComparable):
        out.with_suffix(".svg").write_bytes(picture(runs, compare(runs)))
    if held_back(result):
        out.with_suffix(".freshness.svg").write_bytes(freshness_picture(result))


def _print(console: Console, result: Result) -> None:
    found = result.next_item
    if found is not None:
        table = Table(title=f"next item, {found.evaluated:,} actions")
        for name in ("", "HR@10", "HR@20", "NDCG@10", "MRR@20"):
            table.add_column(name)
        table.add_row("served", *_cells(found.served))
        table.add_row("asked", *_cells(found.asked))
        console.print(table)
    _print_sources(console, result)
    _print_late(console, result)
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
        table.add_row(*map(figure, shown))
        console.print(table)
    _print_rankers(console, result)
    _print_trainings(console, result)
    cost = result.cost
    console.print(
        f"{cost.events:,} events in {cost.cpu_s:.0f} CPU s, at most {cost.peak_rss_mb:.0f} MB"
    )


def _print_sources(console: Console, result: Result) -> None:
    """What each source is worth alone, and what it took to train it."""
    if not result.next_item.evaluated:
        return
    table = Table(title="each source alone: all candidates in its order, and its own proposals")
    for name in ("", "HR@20", "NDCG@10", "MRR@20", "own HR@20", "NDCG@10", "MRR@20"):
        table.add_column(name)
    for name, found in result.sources.items():
        figures = [
            figure(value)
            for one in (found.asked, found.proposed)
            for value in (one.hr_20, one.ndcg_10, one.mrr_20)
        ]
        table.add_row(name, *figures)
    console.print(table)


def _print_trainings(console: Console, result: Result) -> None:
    if not result.cost.models:
        return
    table = Table(title="trainings")
    for name in ("", "times", "actions", "CPU s", "a 100,000", "MB"):
        table.add_column(name, justify="right" if name else "left")
    for name, cost in result.cost.models.items():
        table.add_row(
            name,
            f"{cost.trainings}",
            f"{cost.actions:,}",
            f"{cost.training_s:.1f}",
            f"{1e5 * cost.training_s / max(cost.actions, 1):.1f}",
            f"{cost.bundle_mb:.1f}",
        )
    console.print(table)


def _print_late(console: Console, result: Result) -> None:
    """What is lost where a part is known late, with intervals over users."""
    late = held_back(result)[1:]
    if not late:
        return
    table = Table(title="asked, with one part known late, and what that costs")
    for name in ("", "HR@20", "", "MRR@20", ""):
        table.add_column(name)
    for one in late:
        cells = [one.run]
        for metric in ("HR@20", "MRR@20"):
            lost = one.differences[metric]
            cells.append(figure(one.figures[metric].value))
            cells.append(f"{lost.value:+.4f} [{lost.low:+.4f}, {lost.high:+.4f}]")
        table.add_row(*cells)
    console.print(table)


def _print_rankers(console: Console, result: Result) -> None:
    if not result.rankers:
        return
    table = Table(title="rankers compared on the same slates")
    for name in ("", "NE", "AUC", "MRR", "calibration", "watch time mispredicted", "CPU s"):
        table.add_column(name)
    for name, quality in result.rankers.items():
        cost, watched = result.cost.rankers[name], quality.watched
        calibration = quality.calibration
        if calibration is None:
            calibration = watched.calibration
        shown = (quality.ne, quality.auc, quality.mrr, calibration, watched.mispredicted)
        spent_s = cost.predicting_s + cost.learning_s
        table.add_row(name, *map(figure, shown), f"{spent_s:.1f}")
    console.print(table)


def _cells(ranked: Ranked) -> tuple[str, ...]:
    return tuple(
        figure(value) for value in (ranked.hr_10, ranked.hr_20, ranked.ndcg_10, ranked.mrr_20)
    )
