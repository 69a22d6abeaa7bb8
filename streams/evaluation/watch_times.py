"""Does a log say how long what was clicked was watched?

An item's watch time is the sum of the `value`s of the label actions on it that answer its slate: of
the click itself, if the application sends it when the watching has ended, or of every action that
`actions.<name>.is_label` names, if the slate stays open for them (`attribution.after_click_ms`). A
log that never says it has nothing to teach a ranker of watch times.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from featurestore.actions import ActionTable
from models.rankers.registry import OF_WATCH_TIMES
from streams.errors import StreamsError


class NoWatchTimes(StreamsError):
    """A ranker of watch times was asked for, and the log does not say any."""


class _Glimpse(msgspec.Struct, frozen=True, gc=False):
    """What has to be known of an event."""

    type: str = ""
    event_id: str = ""
    action: str = ""
    item_id: str | None = None
    value: float | None = None


_decoder: Final = msgspec.json.Decoder(_Glimpse)


def check_watch_times(names: Iterable[str], values: Iterable[bytes], actions: ActionTable) -> None:
    """Refuse rankers of watch times on a log that has none.

    Args:
        names: Of rankers; nothing is read where none of them needs watch times.
        values: The log's events, undecoded.
        actions: Which actions are labels.

    Raises:
        NoWatchTimes: No label action has a `value`, or one has a negative one.
    """
    asked = sorted(OF_WATCH_TIMES.intersection(names))
    if not asked:
        return
    labels = sorted(name for name, spec in actions.by_name.items() if spec.is_label)
    num_labels = num_valued = 0
    for event in map(_glimpse, values):
        if event.type != "action" or event.item_id is None or event.action not in labels:
            continue
        num_labels += 1
        if event.value is not None:
            num_valued += 1
            if event.value < 0:
                raise NoWatchTimes(
                    f"found value {event.value} in action {event.event_id!r}, expected a watch "
                    f"time, 0 or more: ranker {', '.join(asked)} takes the value of "
                    f"{', '.join(labels)} for one. Leave the ranker out, or make another action "
                    "the label (actions.<name>.is_label)"
                )
    if not num_valued:
        raise NoWatchTimes(
            f"found no value in any of {num_labels} label actions ({', '.join(labels)}), expected "
            f"the watch time there, which ranker {', '.join(asked)} learns from. Send it as the "
            "action's value (docs/events.md), or leave the ranker out"
        )


def _glimpse(value: bytes) -> _Glimpse:
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Glimpse()
