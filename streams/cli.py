"""Which commands does `headrace` offer?

Each command lies in a module of `streams.commands` that is imported when the command is asked for:
`headrace worker` must neither wait for torch nor load it, and `headrace --help` for nothing.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "demo": ("demo", "Start everything here, against a simulated storefront"),
    "up": ("stack", "Start Kafka, Redis and all roles on this machine"),
    "down": ("stack", "Stop what `up` started"),
    "status": ("stack", "Say what runs, and where"),
    "worker": ("roles", "Keep users' states and lists (the milliseconds)"),
    "learner": ("roles", "Teach the online models (the seconds)"),
    "trainer": ("roles", "Refresh the transformer (the minutes)"),
    "get": ("reading", "Show a user's list, with reasons"),
    "models": ("models", "List, promote and roll back trained models"),
    "dead-letters": ("dead_letters", "List refused events, and send them back"),
    "convert": ("logs", "Make an event file from a public log"),
    "replay": ("logs", "Send an event file to Kafka"),
    "train": ("train", "Train a model on a finished log: an event file, or what Kafka holds"),
    "evaluate": ("evaluate", "Measure quality on an event file, without Kafka or Redis"),
    "off-policy": ("off_policy", "Estimate what another policy would have earned on a log"),
    "compare": ("compare", "Join evaluations of one file into a page with plots and intervals"),
    "simulate": ("simulate", "Run the simulated storefront alone"),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"streams.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group("headrace", cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headrace")
def _headrace() -> None:
    """Headrace: a streaming real-time recommender on Kafka, Redis and Prometheus."""


def main() -> None:
    """Run the command line; an expected fault is told in one message, without a traceback."""
    # Before anything imports numpy. Roles share the machine's cores: threads of BLAS that wait for
    # each other in a loop cost a worker half of its speed. A deployment may say otherwise.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        _headrace()
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        click.secho(f"headrace: {str(error) or type(error).__name__}", fg="red", err=True)
        sys.exit(1)


def _expected() -> tuple[type[Exception], ...]:
    """Return what a person can mend; imported only when something was raised."""
    from kafka.errors import KafkaError  # noqa: PLC0415
    from redis import RedisError  # noqa: PLC0415

    from deploy.stack.errors import StackError  # noqa: PLC0415
    from deploy.storefront.publisher import PublishError  # noqa: PLC0415
    from deploy.storefront.settings import SettingsError  # noqa: PLC0415
    from featurestore.errors import FeatureStoreError  # noqa: PLC0415
    from models.errors import ModelError  # noqa: PLC0415
    from streams.config import ConfigRefused  # noqa: PLC0415
    from streams.errors import StreamsError  # noqa: PLC0415
    from streams.event_file import EventFileError  # noqa: PLC0415

    ours = (StackError, StreamsError, FeatureStoreError, ModelError)
    refused = (ConfigRefused, EventFileError, SettingsError)
    servers = (KafkaError, RedisError, PublishError)
    return (*ours, *refused, *servers)
