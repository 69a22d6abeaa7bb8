"""What would p(click) be worth if it were told how long the user has looked at the slate?

In the hotel log an impression carries the time of its click: the time from the user's last action
to it is not known when a slate is shown, and is an input of no model. Figures of this log that use
it, be it by counts that decay to the impression's time, are to be held against this control.

Run as `python -m benchmarks.impression_gap trivago.jsonl told.jsonl`: it writes the same events
with the gap, in steps of powers of two of a second, as the context value `gap` of impressions. Then

    headrace evaluate told.jsonl … --set 'features.context=["device","platform","gap"]'

tells it to every ranker, and without the setting nobody sees it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click
from msgspec.structs import replace

from featurestore.events import Action, Event, Impression, UserId, decode_event
from streams.event_file import read_values, write_events

GAP: Final = "gap"


def with_gaps(events: Iterable[Event]) -> Iterator[Event]:
    """Name in each impression's context in which power of two of seconds the gap lies.

    1 is below 2 s, 2 below 4 s and so on; 0 is below 1 s, and of users without an action
    there is nothing to tell.
    """
    last_ms: dict[UserId, int] = {}
    for event in events:
        if isinstance(event, Action):
            last_ms[event.user_id] = event.ts_ms
        if isinstance(event, Impression) and event.user_id in last_ms:
            gap_s = max(0, event.ts_ms - last_ms[event.user_id]) // 1000
            yield replace(event, context={**(event.context or {}), GAP: gap_s.bit_length()})
        else:
            yield event


@click.command(help=__doc__)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("told", type=click.Path(dir_okay=False, path_type=Path))
def main(file: Path, told: Path) -> None:
    """Write the file."""
    num = write_events(told, with_gaps(decode_event(value) for value in read_values(file)))
    click.echo(f"{num} events in {told}")


if __name__ == "__main__":
    main()
