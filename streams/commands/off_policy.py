"""How is a policy evaluated from the command line on a log that another policy served?"""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

import click
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.policies.off_policy import OffPolicyRefused
from models.policies.place_chances import DrawnList, EpsilonGreedy, Greedy, PlackettLuce
from streams.commands.options import config_from, with_config
from streams.engine import UnreadableTopicError
from streams.evaluation.off_policy import OffPolicy, evaluate_policies
from streams.evaluation.off_policy_estimates import ESTIMATORS, Estimation
from streams.evaluation.off_policy_result import (
    Bounds,
    OffPolicyResult,
    PolicyEstimate,
)
from streams.evaluation.off_policy_targets import POLICIES, CandidateSet
from streams.event_file import EventFileError
from streams.finished_log import values_of
from streams.result_file import encode_result

_ALL: Final = "all"
_BEST: Final = "best"
_DRAWS: Final = "best|epsilon=E|temperature=T"


@click.command("off-policy")
@click.argument("source", metavar="FILE|kafka")
@click.option(
    "--policy",
    "policies",
    type=click.Choice(POLICIES),
    multiple=True,
    required=True,
    help="A ranker, or lists at random; again for another.",
)
@click.option(
    "--estimator",
    type=click.Choice((*ESTIMATORS, _ALL)),
    default=_ALL,
    show_default=True,
)
@click.option(
    "--draw",
    default=_BEST,
    show_default=True,
    metavar=_DRAWS,
    help="How a list comes of a ranker's scores: the best first; with chance E a random list; or "
    "place after place with odds exp(score / T).",
)
@click.option(
    "--learn-until",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.5,
    show_default=True,
    help="Share of the events that rankers learn from; the rest is evaluated.",
)
@click.option(
    "--candidates",
    type=click.Choice(get_args(CandidateSet)),
    default="recall",
    show_default=True,
    help="What policies choose from: what the sources propose, or all items known by then.",
)
@click.option(
    "--clip",
    type=click.FloatRange(0, min_open=True),
    help="Count larger weights as this: less variance, and a bias, which is told.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where RESULT.json goes.",
)
@with_config
def off_policy(
    source: str,
    policies: tuple[str, ...],
    estimator: str,
    draw: str,
    learn_until: float,
    candidates: CandidateSet,
    clip: float | None,
    out: Path | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Estimate the clicks per shown item that policies would have had on a log.

    Its impressions must say with which propensity each item stood at its position.
    """
    config = config_from(config_file, overrides)
    asked = OffPolicy(
        policies=policies,
        drawn=_drawn(draw),
        candidates=candidates,
        learn_until=learn_until,
        estimation=Estimation(
            estimators=tuple(name for name in ESTIMATORS if estimator in (_ALL, name)),
            clip=clip,
        ),
        overrides=overrides,
    )
    with Progress(
        TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as bar:
        task = bar.add_task("", total=None)
        try:
            result = evaluate_policies(
                asked,
                values_of(source, config),
                config,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        except (OffPolicyRefused, EventFileError, UnreadableTopicError, KafkaError) as error:
            raise click.ClickException(str(error)) from error
    if out is not None:
        out.write_bytes(encode_result(result))
    _print(Console(), result)


def _drawn(draw: str) -> DrawnList:
    name, _, number = draw.partition("=")
    try:
        if name == "epsilon":
            return EpsilonGreedy(float(number))
        if name == "temperature":
            return PlackettLuce(float(number))
    except ValueError as error:
        raise click.BadParameter(f"{draw}: {error}", param_hint="--draw") from error
    if draw != _BEST:
        raise click.BadParameter(f"found {draw!r}, expected {_DRAWS}", param_hint="--draw")
    return Greedy()


def _print(console: Console, result: OffPolicyResult) -> None:
    table = Table(
        title=f"clicks per 1,000 shown items, {result.slots:,} of {result.users:,} users",
        caption=f"{result.level:.0%} intervals over users",
    )
    for name in ("policy", "estimator", "value", "interval", "above the logged", "effective size"):
        table.add_column(name)
    table.add_row("as logged", "mean", *_cells(result.logged)[:2], "", f"{result.slots:,}")
    for policy, run in result.policies.items():
        for estimator, estimate in run.estimates.items():
            size = f"{run.weights.effective_slots:,.0f}"
            table.add_row(policy, estimator.upper(), *_cells(estimate), size)
    console.print(table)
    for policy, run in result.policies.items():
        for warning in run.warnings:
            console.print(f"warning: {policy}: {warning}", style="yellow", highlight=False)


def _cells(estimate: PolicyEstimate) -> tuple[str, str, str]:
    above = f"{estimate.difference * 1000:+.2f} {_between(estimate.difference_interval)}"
    return f"{estimate.value * 1000:.2f}", _between(estimate.interval), above


def _between(bounds: Bounds) -> str:
    low, high = (
        "?" if bound is None else f"{bound * 1000:.2f}" for bound in (bounds.low, bounds.high)
    )
    return f"{low} to {high}"
