"""How is the demo started?"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Final

import click

from deploy.stack.environment import read_environment
from streams.demo.demo import run_demo

_FOREVER: Final = "forever"


@click.command()
@click.option(
    "--seconds",
    envvar="DEMO_SECONDS",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="How long the shop stays live after its replay.",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Of the shop.")
def demo(seconds: float, assignments: tuple[str, ...]) -> None:
    """Start everything here, against a simulated storefront; FOR=forever never ends."""
    forever = os.environ.get("FOR") == _FOREVER
    directory = read_environment(os.environ).home / "demo"
    # Each demo begins with an empty log; what the last one left was kept for its log files.
    shutil.rmtree(directory, ignore_errors=True)
    sys.exit(run_demo(None if forever else seconds, assignments, directory))
