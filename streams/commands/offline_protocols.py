"""How do models that learn from a log get evaluated from the command line?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.registry import RECOMMENDERS
from streams.commands.options import with_items
from streams.commands.tables import figure
from streams.config import Config
from streams.evaluation.offline import NothingToLearn, evaluate_offline
from streams.evaluation.offline_result import Figures, OfflineResult
from streams.evaluation.temporal import VARIANTS, Temporal, evaluate_temporal
from streams.evaluation.temporal_result import TemporalResult, Variant
from streams.event_file import EventFileError
from streams.finished_log import read_log
from streams.result_file import encode_result


class ChosenModels(NamedTuple):
    """What `with_models` gives a command as `chosen`.

    Attributes:
        models: Names in the registry, in the order of the command line.
        variants: Of the protocol temporal.
        refresh_every_h: Of it, too; None for the default.
        items: The catalogue; None without one.
    """

    models: tuple[str, ...]
    variants: tuple[Variant, ...]
    refresh_every_h: float | None
    items: Path | None


def with_models(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--model`, `--variant`, `--refresh-every` and `--items`."""

    @click.option(
        "--model",
        "models",
        type=click.Choice(sorted(RECOMMENDERS)),
        multiple=True,
        help="Of temporal and leave-one-out; again for another; all without it.",
    )
    @click.option(
        "--variant",
        "variants",
        type=click.Choice(VARIANTS),
        multiple=True,
        help="Of temporal: learned once, or at each refresh anew or on from its weights; again for "
        "another; all without it.",
    )
    @click.option(
        "--refresh-every",
        "refresh_every_h",
        type=click.FloatRange(0, min_open=True),
        metavar="HOURS",
        help="Of temporal: log time between two refreshes; a quarter of what is tested without it.",
    )
    @with_items
    @wraps(command)
    def collected(
        *,
        models: tuple[str, ...],
        variants: tuple[Variant, ...],
        refresh_every_h: float | None,
        items: Path | None,
        **others: object,
    ) -> None:
        chosen = ChosenModels(
            models or tuple(RECOMMENDERS), variants or VARIANTS, refresh_every_h, items
        )
        command(chosen=chosen, **others)

    return collected


def leave_one_out(
    file: Path,
    chosen: ChosenModels,
    config: Config,
    overrides: Sequence[str],
    out: Path | None,
) -> None:
    """Evaluate models by the papers' protocol, write the result and print it.

    Raises:
        ClickException: The file cannot be read, or nothing can be held out of it.
    """
    with _bars(chosen.models) as tell:
        result = evaluate_offline(
            chosen.models,
            read_log(str(file), config, items=chosen.items),
            config,
            overrides=overrides,
            on_progress=lambda name, progress: tell(name, progress.done),
        )
    if out is not None:
        out.write_bytes(encode_result(result))
    Console().print(_leave_one_out_table(result))


def temporal(
    file: Path, asked: Temporal, config: Config, out: Path | None, items: Path | None
) -> None:
    """Evaluate models on what came after they had learned, write the result and print it.

    Raises:
        ClickException: The file cannot be read, or has nothing on one side of the cut.
    """
    with _bars(asked.models) as tell:
        result = evaluate_temporal(asked, read_log(str(file), config, items=items), config, tell)
    if out is not None:
        out.write_bytes(encode_result(result))
    Console().print(_temporal_table(result))


@contextmanager
def _bars(models: Sequence[str]) -> Iterator[Callable[[str, float], None]]:
    """Show a bar a model, and turn what a user can mend into a message."""
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as bar:
        tasks = {name: bar.add_task(name, total=1.0) for name in models}
        try:
            yield lambda name, share: bar.update(tasks[name], completed=share)
        except (EventFileError, NothingToLearn) as error:
            raise click.ClickException(str(error)) from error


def _leave_one_out_table(result: OfflineResult) -> Table:
    table = Table(title=f"leave-one-out, {result.questions:,} users, {result.items:,} items")
    for name in ("", "HR@10", "HR@20", "NDCG@10", "MRR@20", "pass", "CPU s"):
        table.add_column(name)
    for name, run in result.models.items():
        table.add_row(name, *_cells(run.test), str(run.best_pass), f"{run.fit_cpu_s:.0f}")
    return table


def _temporal_table(result: TemporalResult) -> Table:
    table = Table(
        title=f"temporal, {result.questions:,} actions, "
        f"{result.items_before:,} of {result.items:,} items known before",
        caption=f"misses: {result.never_seen:,} on new items, {result.repeated:,} repeated",
        # A terminal of 80 columns holds it.
        pad_edge=False,
    )
    for name in ("", "HR@10", "HR@20", "NDCG@10", "MRR@20", "unknown", "CPU s"):
        table.add_column(name)
    for name, run in result.models.items():
        for variant, found in run.variants.items():
            if found is None:
                table.add_row(f"{name} {variant}", *"------")
                continue
            cost = (f"{found.unknown:,}", f"{found.fit_cpu_s:.0f}")
            table.add_row(f"{name} {variant}", *_cells(found.test), *cost)
    return table


def _cells(figures: Figures) -> Iterator[str]:
    return map(figure, (figures.hr_10, figures.hr_20, figures.ndcg_10, figures.mrr_20))
