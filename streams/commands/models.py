"""How does an operator look at trained models, and change the current one?"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.rankers.registry import SERVABLE_RANKERS
from streams.commands.options import config_from, with_config
from streams.metric_families import EXTRA_SOURCES
from streams.model_registry import BundleEntry, ModelRegistry
from streams.pipeline.live import TRANSFORMER, kind_of_model


@click.group()
def models() -> None:
    """List, promote and roll back trained models."""


_of_model = click.option(
    "--model",
    default=TRANSFORMER,
    show_default=True,
    type=click.Choice((*EXTRA_SOURCES, *SERVABLE_RANKERS)),
    help="Whose bundles; others than the transformer come from `headrace train`.",
)


@models.command("list")
@_of_model
@with_config
def list_models(model: str, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Show every bundle, the current one, and why it is the current one."""
    registry, kind = _registry(config_file, overrides), kind_of_model(model)
    current = registry.current(kind)
    table = Table(title=model)
    for name in ("", "digest", "trained", "data up to", "metrics", "decided", "because"):
        table.add_column(name)
    for entry in registry.bundles(kind):
        table.add_row(*map(Text, _cells(entry)))
    Console().print(table)
    if current is not None:
        click.echo(f"current: {current.digest[:12]} by {current.decision}: {current.reason}")


@models.command()
@click.argument("digest")
@click.option("--reason", default="promoted by hand", show_default=True)
@_of_model
@with_config
def promote(
    digest: str, reason: str, model: str, config_file: Path | None, overrides: tuple[str, ...]
) -> None:
    """Make the bundle whose digest begins with DIGEST the current one."""
    registry = _registry(config_file, overrides)
    announced = registry.promote(kind_of_model(model), digest, reason=reason)
    click.echo(f"{announced.digest[:12]} is current")


@models.command()
@click.option("--reason", default="rolled back by hand", show_default=True)
@_of_model
@with_config
def rollback(reason: str, model: str, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Go back to the bundle that was trained before the current one."""
    registry = _registry(config_file, overrides)
    announced = registry.rollback(kind_of_model(model), reason=reason)
    click.echo(f"{announced.digest[:12]} is current")


def _registry(config_file: Path | None, overrides: tuple[str, ...]) -> ModelRegistry:
    config = config_from(config_file, overrides)
    folder = Path(config.trainer.folder)
    return ModelRegistry(folder, config.kafka.brokers, config.kafka.topics.models)


def _cells(entry: BundleEntry) -> tuple[str, ...]:
    if entry.bundle is None:
        return ("!", entry.folder.name, "", "", entry.refusal or "")
    config = entry.bundle.config
    metrics = ", ".join(
        f"{name} {value:.4g}" for name, value in config.metrics.items() if value is not None
    )
    return (
        "→" if entry.is_current else "",
        entry.bundle.digest[:12],
        _minute(config.created_ms),
        _minute(config.cutoff_ms),
        metrics,
        str(decided.decision) if (decided := entry.decided) else "",
        decided.reason if decided else "",
    )


def _minute(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, tz=UTC):%Y-%m-%d %H:%M}"
