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

from featurestore.lists import order_of
from featurestore.reader import RecommendationReader
from streams.commands.options import config_from, with_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurestore.lists import RecommendationList


@click.command()
@click.argument("user", required=False)
@click.option("--category", help="What is popular of this category instead.")
@click.option("--similar", "item_id", metavar="ITEM", help="What goes with this item instead.")
@with_config
def get(
    user: str | None,
    category: str | None,
    item_id: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Show USER's list, or the popular one, with the reason of each item."""
    if sum(name is not None for name in (user, category, item_id)) != 1:
        raise click.UsageError("expected one of USER, --category and --similar")
    config = config_from(config_file, overrides)
    with redis.Redis.from_url(config.redis.url.reveal()) as client:
        reader = RecommendationReader(client)
        if user is not None:
            found, wanted = reader.get(user), f"list for {user!r}, and no popular list"
            title = (
                user if found and found.user_id == user else f"{user} has no list: what is popular"
            )
        elif category is not None:
            found, wanted = reader.popular(category), f"list of the category {category!r}"
            title = f"popular of {category}"
        else:
            found, wanted = reader.similar(item_id or ""), f"list of what goes with {item_id!r}"
            title = f"goes with {item_id}"
    if found is None:
        click.echo(
            f"no {wanted} yet: do worker and learner run (`headrace status`), and did any event "
            "arrive?",
            err=True,
        )
        sys.exit(1)
    Console().print(list_table(found, title=title))


def list_table(recommendations: RecommendationList, *, title: str) -> Table:
    """Return the list as a table."""
    computed = datetime.fromtimestamp(recommendations.computed_at_ms / 1000, tz=UTC)
    table = Table(
        title=Text(title),
        caption=(
            f"computed {computed:%Y-%m-%d %H:%M:%S} UTC after event "
            f"{recommendations.as_of.partition}-{recommendations.as_of.offset}; examples offset "
            f"{recommendations.models.online}, {_ordered_by(recommendations)}"
            f"{_told(recommendations.models.bundles)}"
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


def _ordered_by(recommendations: RecommendationList) -> str:
    """What ordered it; nothing of what is nobody's own, which no head orders."""
    is_own = order_of(recommendations.list_id) is not None
    return f"ordered by {recommendations.models.head}, " if is_own else ""


def _told(bundles: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest}" for name, digest in bundles.items()) or "no bundle"
