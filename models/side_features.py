"""What is known beside who acted upon what: attributes of items, and the context of a moment.

Both are codes: whole numbers from 1, by hash, 0 for nothing. A bundle names its `SideFeatures`, so
that whoever serves it makes the same codes of the same words. Values are told apart and not
compared: a number is a word like any other.

Shape letters: B moments, N items, A codes of an item, C context names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from models.checks import require

CLOCK: Final[Mapping[str, tuple[int, int]]] = {"hour": (3600, 24), "weekday": (86_400, 7)}
"""Context names that no event carries: what the moment's time (UTC) says. Seconds that a value
lasts, and how many values there are."""

_MAX_CONTEXT_CODES: Final = 255
_FEWEST_CONTEXT_CODES: Final = 24

Words = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideFeatures:
    """Which side features there are.

    Attributes:
        attributes: of the catalogue's `attributes`, beside all categories, which are always read.
        num_attribute_codes: into so many the categories and values of items are hashed.
        context: names in the events' context, with what an application says of the user in each
            (a device, an age group), and `hour` and `weekday` of the time.
        num_context_codes: into so many the values of one name are hashed.
        clock: whether a moment's time is an input of the models that read it as a number.
    """

    attributes: tuple[str, ...] = ()
    num_attribute_codes: int = 4096
    context: tuple[str, ...] = ("device",)
    num_context_codes: int = 64
    clock: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be coded.

        Raises:
            ValueError: naming every bad value.
        """
        least, most = _FEWEST_CONTEXT_CODES, _MAX_CONTEXT_CODES
        require(
            (self.num_attribute_codes >= 1, "num_attribute_codes at least 1"),
            (
                least <= self.num_context_codes <= most,
                f"num_context_codes from {least} to {most}",
            ),
            (len(set(self.context)) == len(self.context), "each name in context once"),
        )

    @property
    def tells_moments(self) -> bool:
        """Whether there is anything that a model may know of the moment that a list is made at."""
        return self.clock or bool(self.context)

    @property
    def context_meaning(self) -> tuple[tuple[str, ...], int]:
        """What context codes depend on: equal ones mean the same."""
        return self.context, self.num_context_codes

    def kept_from(self, before: SideFeatures) -> list[tuple[int, int]]:
        """Return the places of contexts that are told in the same codes as before: now, then."""
        if self.num_context_codes != before.num_context_codes:
            return []
        places = {name: place for place, name in enumerate(before.context)}
        return [(place, places[name]) for place, name in enumerate(self.context) if name in places]

    def without_moments(self) -> SideFeatures:
        """Return what is left to models that know nothing of moments."""
        return replace(self, context=(), clock=False)

    def attribute_codes(self, categories: Iterable[str], attributes: Words) -> tuple[int, ...]:
        """Return the different codes of an item, ascending; none for an item without attributes.

        >>> boots = SideFeatures(attributes=("brand",)).attribute_codes(
        ...     ["shoes", "winter"], {"brand": "b", "price": 9.0})
        >>> len(boots), min(boots) >= 1
        (3, True)
        """
        words = [f"category={name}" for name in categories]
        words += [
            f"{name}={attributes[name]}" for name in self.attributes if _is_told(attributes, name)
        ]
        return tuple(sorted({_code(word, self.num_attribute_codes) for word in words}))

    def context_codes(self, context: Words | None, at_s: int) -> tuple[int, ...]:
        """Return the code of each context name at a moment, 0 where nothing is told, `[C]`.

        Args:
            context: of the event that the moment is.
            at_s: the moment, seconds since the epoch; 0 for a moment without a time.

        >>> SideFeatures(context=("device", "hour")).context_codes({"device": None}, 3600)
        (0, 2)
        """
        told = context or {}
        return tuple(self._context_code(name, told, at_s) for name in self.context)

    def _context_code(self, name: str, told: Words, at_s: int) -> int:
        if name in CLOCK:
            unit_s, num_values = CLOCK[name]
            return 1 + at_s // unit_s % num_values if at_s else 0
        if not _is_told(told, name):
            return 0
        return _code(f"{name}={told[name]}", self.num_context_codes)


NO_SIDE: Final = SideFeatures(context=(), clock=False)
"""Of a log that tells nothing beside items and times."""

NO_ATTRIBUTES: Final[npt.NDArray[np.int32]] = np.zeros((0, 0), np.int32)
"""The attribute codes of items of which nothing is known."""


def side_of(values: Mapping[str, Any]) -> SideFeatures:
    """Return what `asdict` made of side features, read back from JSON."""
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    kept: dict[str, Any] = {**values, **lists}
    return SideFeatures(**kept)


def attribute_matrix(
    item_ids: Sequence[str], codes_of: Mapping[str, tuple[int, ...]]
) -> npt.NDArray[np.int32]:
    """Return the attribute codes of items, 0 behind the last, `[N, A]`; A is that of the longest.

    >>> attribute_matrix(["a", "b"], {"b": (3, 7), "c": (1, 2, 3)}).tolist()
    [[0, 0], [3, 7]]
    """
    told = [codes_of.get(item_id, ()) for item_id in item_ids]
    codes_NA = np.zeros((len(told), max(map(len, told), default=0)), np.int32)
    for row_A, codes in zip(codes_NA, told, strict=True):
        row_A[: len(codes)] = codes
    return codes_NA


def context_rows(contexts: Sequence[Sequence[int]], side: SideFeatures) -> npt.NDArray[np.int64]:
    """Return each context code's row in a table that has all names one after the other, `[B, C]`.

    Args:
        contexts: of each moment its C codes, or none at all.
        side: which names there are.

    >>> context_rows([(5, 0), ()], SideFeatures(context=("a", "b"), num_context_codes=64)).tolist()
    [[5, 65], [0, 65]]
    """
    return context_rows_of(context_codes(contexts, side), side)


def context_codes(contexts: Sequence[Sequence[int]], side: SideFeatures) -> npt.NDArray[np.int64]:
    """Return context codes as one array, 0 where there are none at all, `[B, C]`."""
    codes_BC = np.zeros((len(contexts), len(side.context)), np.int64)
    for row_C, codes in zip(codes_BC, contexts, strict=True):
        row_C[: len(codes)] = codes
    return codes_BC


def context_rows_of(codes_BC: npt.NDArray[np.integer], side: SideFeatures) -> npt.NDArray[np.int64]:
    """Return the same of a history's column, in which no code is missing."""
    rows_BC: npt.NDArray[np.int64] = codes_BC + np.arange(len(side.context)) * (
        1 + side.num_context_codes
    )
    return rows_BC


def clock_inputs(moment_B: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return where in its day and in its week (UTC) each moment is, as points of circles, `[B, 4]`.

    Args:
        moment_B: seconds since the epoch; 0 for a moment without a time, of which all is 0.

    >>> clock_inputs(np.array([0, 86_400 + 21_600])).round(2)[:, :2].tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    unit_B2 = moment_B[:, None] / np.array([86_400, 7 * 86_400])
    angle_B2 = 2 * np.pi * (unit_B2 % 1)
    inputs_B4 = np.concatenate([np.sin(angle_B2), np.cos(angle_B2)], 1)[:, [0, 2, 1, 3]]
    shown: npt.NDArray[np.float32] = (inputs_B4 * (moment_B > 0)[:, None]).astype(np.float32)
    return shown


def _is_told(words: Words, name: str) -> bool:
    return words.get(name) is not None


def _code(word: str, num_codes: int) -> int:
    return 1 + crc32(word.encode()) % num_codes
