"""How is the simulated storefront run alone, against a Headrace that is up already?"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from deploy.storefront.settings import Settings
from deploy.storefront.simulate import Progress
from deploy.storefront.simulate import simulate as run_shop
from streams.backlog import BacklogProbe
from streams.commands.options import config_from
from streams.demo.screen import Screen
from streams.role_figures import Figures

_DIGEST_DEADLINE_S = 300.0


@click.command()
@click.option("--seed", default=1, show_default=True)
@click.option("--seconds", default=120.0, show_default=True, help="How long it is live.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Of the shop.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The TOML file that says where Kafka and Redis are.",
)
def simulate(
    seed: int, seconds: float, assignments: tuple[str, ...], config_file: Path | None
) -> None:
    """Replay a simulated past, go live, and print the click rates of both halves."""
    settings = Settings(seed=seed).replace(assignments)
    config = config_from(config_file, ())
    console = Console()
    screen, nothing = Screen(console), Figures({})

    def show(progress: Progress) -> None:
        screen.show(progress, nothing, nothing, None)

    with BacklogProbe(config) as probe, Live(screen, console=console, refresh_per_second=4):
        outcome = run_shop(
            settings,
            ",".join(config.kafka.brokers),
            config.redis.url.reveal(),
            seconds,
            show,
            barrier=lambda: probe.wait_until_digested(deadline_s=_DIGEST_DEADLINE_S),
        )
    for line in outcome.lines():
        console.print(line, markup=False, highlight=False)
