"""What does a person see of a user's list?"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import redis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from featurestore.reader import RecommendationReader
from streams.commands.options import config_from, with_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurestore.lists import RecommendationList


@click.command()
@click.argument("user")
@with_config
def get(user: str, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Show USER's list, or the popular one, with the reason of each item."""
    config = config_from(config_file, overrides)
    with redis.Redis.from_url(config.redis.url.reveal()) as client:
        found = RecommendationReader(client).get(user)
    if found is None:
        click.echo(
            f"no list for {user!r}, and no popular list yet: does the worker run (`headrace "
            "status`), and did any event arrive?",
            err=True,
        )
        sys.exit(1)
    Console().print(list_table(found, asked_for=user))


def list_table(recommendations: RecommendationList, *, asked_for: str) -> Table:
    """Return the list as a table."""
    own = recommendations.user_id == asked_for
    computed = datetime.fromtimestamp(recommendations.computed_at_ms / 1000, tz=UTC)
    table = Table(
        title=Text(asked_for if own else f"{asked_for} has no list: what is popular"),
        caption=(
            f"computed {computed:%Y-%m-%d %H:%M:%S} UTC after event "
            f"{recommendations.as_of.partition}-{recommendations.as_of.offset}; examples offset "
            f"{recommendations.models.online}, {_told(recommendations.models.bundles)}"
        ),
    )
    for name in ("#", "item", "score", "why"):
        table.add_column(name, justify="right" if name in {"#", "score"} else "left")
    for item in recommendations.items:
        why = item.source if item.reason is None else f"{item.source}: after {item.reason}"
        if recommendations.order == "explored":
            why += f", drawn with chance {item.propensity:.2g}"
        # As text: brackets in an id are no markup.
        table.add_row(str(item.position), Text(item.item_id), f"{item.score:.4g}", Text(why))
    return table


def _told(bundles: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest}" for name, digest in bundles.items()) or "no bundle"
