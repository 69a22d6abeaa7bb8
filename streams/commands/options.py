"""Which options do many commands share?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from streams.config import Config, load_config

F = TypeVar("F", bound=Callable[..., Any])


def with_config(command: F) -> F:
    """Add `--config FILE` and `--set KEY=VALUE`, for `config_from`."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Replace one setting, for example ranking.list_size=10. May be repeated.",
    )(command)
    return click.option(
        "--config",
        "config_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The TOML file; HEADRACE_CONFIG names one, too. headrace.toml shows every key.",
    )(command)


def with_items(command: F) -> F:
    """Add `--items FILE`, the catalogue of a log."""
    return click.option(
        "--items",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Records of the catalogue, JSON lines: their categories, and the attributes that "
        "side.attributes names, reach the models, as the topic of items does with `kafka`. In the "
        "protocol `stream` they reach features, heads and lists, too.",
    )(command)


def config_from(config_file: Path | None, overrides: tuple[str, ...]) -> Config:
    """Read the configuration of a command.

    Raises:
        ConfigRefused: Naming every problem.
    """
    return load_config(config_file, os.environ, overrides)
