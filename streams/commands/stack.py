"""How is everything started on one machine, looked at, and stopped?"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from deploy.stack.environment import read_environment
from deploy.stack.lifecycle import ServerStatus
from deploy.stack.lifecycle import down as stop_stack
from deploy.stack.lifecycle import status as stack_status
from deploy.stack.lifecycle import up as start_stack
from deploy.stack.stack import StackConfig
from deploy.stack.topics import TopicLayout
from streams.commands.options import config_from, with_config
from streams.local_roles import local_roles

if TYPE_CHECKING:
    from deploy.stack.state import Addresses

_KAFKA_PORT: Final = 9092
_REDIS_PORT: Final = 6379
_PROMETHEUS_PORT: Final = 9090


@click.command()
@click.option("--workers", default=1, show_default=True, help="Worker processes.")
@click.option("--partitions", default=8, show_default=True, help="Of a new events topic.")
@with_config
def up(workers: int, partitions: int, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Start Kafka, Redis and all roles in the background; what runs already is left alone.

    HEADRACE_KAFKA and HEADRACE_REDIS name servers of your own, which are then used.
    """
    # Bad settings are told here, not in a role's log.
    config_from(config_file, overrides)
    home = _home()
    addresses = start_stack(
        StackConfig(
            directory=home,
            topics=TopicLayout(num_partitions=partitions),
            kafka_port=_KAFKA_PORT,
            redis_port=_REDIS_PORT,
            prometheus_port=_PROMETHEUS_PORT,
            redis_appendonly=True,
        ),
        roles=local_roles(home, num_workers=workers, config_file=config_file, overrides=overrides),
        report=click.echo,
    )
    for line in _where(addresses):
        click.echo(line)


@click.command()
@click.option("--wipe", is_flag=True, help="Remove logs, topics and bundles, too.")
def down(*, wipe: bool) -> None:
    """Stop what `headrace up` started."""
    if not stop_stack(_home(), wipe=wipe, report=click.echo):
        click.echo("nothing was running")


@click.command()
def status() -> None:
    """Say what runs, where, and where it logs."""
    found = stack_status(_home())
    if found is None:
        click.echo("nothing runs here: `headrace up` starts it")
        sys.exit(1)
    table = Table(title=found.phase.value)
    for name in ("", "alive", "address", "memory", "restarts", "log"):
        table.add_column(name)
    for server in found.servers:
        table.add_row(*_cells(server))
    Console().print(table)
    if found.addresses is not None:
        for line in _where(found.addresses):
            click.echo(line)


def _home() -> Path:
    return read_environment(os.environ).home.absolute()


def _where(addresses: Addresses) -> list[str]:
    lines = [f"export HEADRACE_KAFKA={addresses.kafka} HEADRACE_REDIS={addresses.redis_url}"]
    if addresses.prometheus_url is not None:
        lines.append(f"Prometheus: {addresses.prometheus_url}")
    return lines


def _cells(server: ServerStatus) -> tuple[str, ...]:
    state = server.state
    return (
        state.name,
        {True: "yes", False: "no", None: "not ours"}[server.alive],
        state.address,
        "" if server.rss_bytes is None else f"{server.rss_bytes / 2**20:.0f} MiB",
        str(state.num_restarts),
        state.log_path or "",
    )
