"""Which actions of a file are evaluated, and which lists does that take?

The look-ahead is for cost alone: most lists that the live pipeline writes are overwritten before
anybody reads them, so a run computes only those that an evaluated action will find in the store.
What is learned, and what a list contains, does not depend on the plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from featurestore.actions import ActionTable

MAX_FRACTION: Final = 1.0


class _Glimpse(msgspec.Struct, frozen=True, gc=False):
    """What the plan needs to know of an event."""

    type: str = ""
    user_id: str = ""
    ts_ms: int = 0
    action: str = ""
    item_id: str | None = None


_decoder: Final = msgspec.json.Decoder(_Glimpse)
_NOTHING: Final = _Glimpse()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where evaluation begins: at a time if that is set, otherwise at a fraction of the events.

    Attributes:
        fraction: Of the file's events, 0 to 1.
        ts_ms: The first event at or after this event time.
    """

    fraction: float | None = None
    ts_ms: int | None = None

    @classmethod
    def parse(cls, text: str) -> Start:
        """Read `--evaluate-from`: a number up to 1 is a fraction, a larger one milliseconds.

        Raises:
            ValueError: It is neither.

        >>> Start.parse("0.2").fraction, Start.parse("1506999600026").ts_ms
        (0.2, 1506999600026)
        """
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if 0 <= number <= MAX_FRACTION:
            return cls(fraction=number)
        if number > MAX_FRACTION and number.is_integer():
            return cls(ts_ms=int(text))
        raise ValueError(
            f"evaluate-from is {text!r}, expected a fraction of the events (0 to 1) or a time in "
            "Unix milliseconds"
        )

    def place(self, times_ms: npt.NDArray[np.int64]) -> int:
        """Return the place of the first event evaluated; the number of events if there is none.

        >>> Start(ts_ms=20).place(np.array([10, 20, 30])), Start(fraction=0.5).place(np.arange(5))
        (1, 2)
        """
        if self.ts_ms is None:
            return int((self.fraction or 0.0) * len(times_ms))
        late = np.flatnonzero(times_ms >= self.ts_ms)
        return int(late[0]) if late.size else len(times_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do at each event, by its place in the file.

    Attributes:
        num_events: Events of the file, refused ones included.
        first: Place of the first event that is evaluated.
        first_ms: Its event time; None where there is none.
        is_asked: bool[num_events]: a label action that is evaluated.
        is_read: bool[num_events]: an action or visit whose list an evaluated action will find.
    """

    num_events: int
    first: int
    first_ms: int | None
    is_asked: npt.NDArray[np.bool_]
    is_read: npt.NDArray[np.bool_]


def plan(
    values: Iterable[bytes], actions: ActionTable, start: Start, *, sample: float, seed: int
) -> Plan:
    """Look through a file.

    Args:
        values: Its events, undecoded.
        actions: Which actions are labels.
        start: Where evaluation begins.
        sample: Share of the label actions from there on that are evaluated: those for which
            `numpy.random.default_rng(seed).random(num_label_actions) < sample`.
        seed: See `sample`.
    """
    times_ms: list[int] = []
    labels: list[int] = []
    previous: list[int] = []
    last_trigger: dict[str, int] = {}
    is_label = {name for name, spec in actions.by_name.items() if spec.is_label}
    for place, value in enumerate(values):
        event = _glimpse(value)
        times_ms.append(event.ts_ms)
        if event.type == "action" and event.item_id is not None and event.action in is_label:
            labels.append(place)
            previous.append(last_trigger.get(event.user_id, -1))
        if event.type in ("action", "visit"):
            last_trigger[event.user_id] = place
    first = start.place(np.array(times_ms, np.int64))
    places = np.array(labels, np.int64)
    behind = places >= first
    chosen = np.random.default_rng(seed).random(int(behind.sum())) < sample
    is_asked = np.zeros(len(times_ms), np.bool_)
    is_asked[places[behind][chosen]] = True
    triggers = np.array(previous, np.int64)[behind][chosen]
    is_read = np.zeros(len(times_ms), np.bool_)
    is_read[triggers[triggers >= 0]] = True
    return Plan(
        num_events=len(times_ms),
        first=first,
        first_ms=times_ms[first] if first < len(times_ms) else None,
        is_asked=is_asked,
        is_read=is_read,
    )


def _glimpse(value: bytes) -> _Glimpse:
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _NOTHING
