"""How does an operator look at refused events, and send back those that are events by now?"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click

from streams.commands.options import config_from, with_config
from streams.redrive import read_dead_letters
from streams.redrive import redrive as redrive_letters

_SHOWN_BYTES = 120


@click.group("dead-letters")
def dead_letters() -> None:
    """List refused events, and send them back."""


@dead_letters.command("list")
@click.option("--limit", default=20, show_default=True, help="Letters shown; all are counted.")
@with_config
def list_letters(limit: int, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Show letters with their reason and origin, then count all by reason."""
    kafka = config_from(config_file, overrides).kafka
    reasons: Counter[str] = Counter()
    for number, letter in enumerate(read_dead_letters(kafka.brokers, kafka.topics.dead_letters)):
        reasons[letter.reason] += 1
        if number < limit:
            click.echo(f"{letter.topic}-{letter.partition}@{letter.offset} {letter.reason}")
            click.echo(f"    {letter.detail}")
            click.echo(f"    {(letter.value or b'')[:_SHOWN_BYTES]!r}")
    for reason, count in reasons.most_common():
        click.echo(f"{count:8d}  {reason}")
    click.echo(f"{reasons.total():8d}  in all")


@dead_letters.command()
@click.option("--again", is_flag=True, help="From the first letter, not from the last redrive on.")
@with_config
def redrive(*, again: bool, config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Send back every letter that is a valid event by now, under the right key."""
    kafka = config_from(config_file, overrides).kafka
    done = redrive_letters(
        kafka.brokers,
        dead_letters_topic=kafka.topics.dead_letters,
        events_topic=kafka.topics.events,
        now_ms=time.time_ns() // 1_000_000,
        again=again,
    )
    click.echo(f"{done.num_sent} sent back")
    for reason, count in sorted(done.refused.items()):
        click.echo(f"{count} still refused: {reason}")
