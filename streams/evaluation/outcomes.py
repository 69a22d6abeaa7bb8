"""How did each evaluated action and slate fare? What two runs are compared by, pair by pair.

Means alone tell nothing of their noise; with every outcome beside them, runs over the same file can
be compared on the same actions, and intervals be drawn over users. Columns are arrays of
little-endian numbers, which JSON carries as base64: a list of numbers would fill pages.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

LIST: Final = "list"
"""The name, beside those of sources and models, of the list itself."""


ABSENT: Final = -1
_EPSILON: Final = 1e-12
"""As in `models.evaluation.log_loss`: a certainty that was wrong costs much, not everything."""


class ActionOutcomes(Struct, frozen=True, kw_only=True):
    """Evaluated actions, in the file's order.

    Attributes:
        event: int32, each action's place in the file: the same in every run over it.
        user: int32, a number for each user, in order of appearance.
        served: int16 by name, the place of its item from 1 in the list that the store held (`list`)
            and in the order of each source and model; 0 for nowhere, -1 where there was no such
            order yet.
        asked: The same for lists computed at the action's time, and by their names for those of
            which a part is known late.
    """

    event: bytes = b""
    user: bytes = b""
    served: dict[str, bytes] = {}
    asked: dict[str, bytes] = {}


class SlateOutcomes(Struct, frozen=True, kw_only=True):
    """Judged slates, in the order in which their answers became final.

    Attributes:
        event: int32, the slate's place in the file.
        user: int32, as for actions.
        items: int32, how many were shown.
        clicks: int32, how many of them were clicked.
        logloss: float32, in nats, summed over the items.
        rank: int32, place by p(click) of the best-placed clicked item, 0 without a click.
    """

    event: bytes = b""
    user: bytes = b""
    items: bytes = b""
    clicks: bytes = b""
    logloss: bytes = b""
    rank: bytes = b""


class Outcomes(Struct, frozen=True, kw_only=True):
    """All of a run."""

    actions: ActionOutcomes = ActionOutcomes()
    slates: SlateOutcomes = SlateOutcomes()


def int32(column: bytes) -> npt.NDArray[np.int32]:
    """Return a column's numbers.

    >>> int32(packed([1, 2], "<i4")).tolist()
    [1, 2]
    """
    return np.frombuffer(column, "<i4")


def int16(column: bytes) -> npt.NDArray[np.int16]:
    """Return a column's numbers."""
    return np.frombuffer(column, "<i2")


def float32(column: bytes) -> npt.NDArray[np.float32]:
    """Return a column's numbers."""
    return np.frombuffer(column, "<f4")


def packed(values: list[int] | list[float], kind: str) -> bytes:
    """Return numbers as a column of that kind of number, as numpy names it."""
    return np.array(values, kind).tobytes()


@dataclass(slots=True)
class OutcomeLog:
    """Collects the outcomes of a run."""

    _users: dict[str, int] = field(default_factory=dict)
    _events: list[int] = field(default_factory=list)
    _owners: list[int] = field(default_factory=list)
    _served: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _asked: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _slates: list[tuple[int, int, int, int, float, int]] = field(default_factory=list)

    def add_action(
        self, event: int, user_id: str, served: dict[str, int], asked: dict[str, int]
    ) -> None:
        """Take one action.

        Args:
            event: Its place in the file.
            user_id: Whose.
            served: Places by name.
            asked: The same.
        """
        num_before = len(self._events)
        self._events.append(event)
        self._owners.append(self._user(user_id))
        for columns, places in ((self._served, served), (self._asked, asked)):
            for name, place in places.items():
                column = columns[name]
                column += [ABSENT] * (num_before - len(column))
                column.append(place)

    def add_slate(
        self,
        event: int,
        user_id: str,
        probabilities: npt.NDArray[np.float64],
        labels: npt.NDArray[np.bool_],
    ) -> None:
        """Take one slate with what was predicted and what came.

        Args:
            event: Its place in the file.
            user_id: Whose.
            probabilities: float64[N].
            labels: bool[N].
        """
        p = np.clip(probabilities, _EPSILON, 1 - _EPSILON)
        losses = -np.where(labels, np.log(p), np.log1p(-p))
        rank = 0
        if labels.any():
            rank = 1 + int((probabilities > probabilities[labels].max()).sum())
        user = self._user(user_id)
        counts = len(labels), int(labels.sum())
        self._slates.append((event, user, *counts, float(losses.sum()), rank))

    def places(self, name: str) -> tuple[list[int], list[int]]:
        """Return the places, served and asked, in an order as long as there was one."""
        served, asked = self._served.get(name, ()), self._asked.get(name, ())
        return [one for one in served if one != ABSENT], [one for one in asked if one != ABSENT]

    def outcomes(self) -> Outcomes:
        """Return all of them."""
        num = len(self._events)
        slates = list(zip(*self._slates, strict=True)) or [()] * 6
        event, user, items, clicks, logloss, rank = map(list, slates)
        return Outcomes(
            actions=ActionOutcomes(
                event=packed(self._events, "<i4"),
                user=packed(self._owners, "<i4"),
                served=_columns(self._served, num),
                asked=_columns(self._asked, num),
            ),
            slates=SlateOutcomes(
                event=packed(event, "<i4"),
                user=packed(user, "<i4"),
                items=packed(items, "<i4"),
                clicks=packed(clicks, "<i4"),
                logloss=packed(logloss, "<f4"),
                rank=packed(rank, "<i4"),
            ),
        )

    def _user(self, user_id: str) -> int:
        return self._users.setdefault(user_id, len(self._users))


def _columns(places: dict[str, list[int]], num: int) -> dict[str, bytes]:
    return {
        name: packed(column + [ABSENT] * (num - len(column)), "<i2")
        for name, column in sorted(places.items())
    }
