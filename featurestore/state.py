"""What do we remember of a user? Bytes, and how they are read.

The bytes are what the store holds: a state that is kept in memory is one object however long its
past, nothing is taken apart when it is loaded, nothing is put together when it is written.
`featurestore.fold` makes the bytes, `featurestore.state_layout` says how they lie.
"""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from featurestore.actions import ActionTable
from featurestore.gaps import gap_seconds, seconds_of_gaps
from featurestore.keys import NO_ITEM
from featurestore.state_layout import (
    CLOCK_MS_AT,
    COUNTS_AT,
    GAP_BYTES,
    HEADER,
    HEADER_BYTES,
    KEY_BYTES,
    LAST_S_AT,
    SESSION_NUM_ACTIONS_AT,
    SHOWN_BYTES,
    U16,
    U32,
    U64,
    Header,
    action_edges,
    edges_of,
)


class History(NamedTuple):
    """A user's last actions, oldest first."""

    keys: npt.NDArray[np.uint64]
    times_s: npt.NDArray[np.int64]
    actions: npt.NDArray[np.uint8]


class HeldActions(NamedTuple):
    """A user's last actions as they are held, oldest first; equal for equal histories.

    Attributes:
        keys: little-endian uint32 item keys, 0 for an action without an item.
        gaps: uint16 codes of the time from each action to the next, so one fewer than actions.
        codes: one byte an action.
        last_s: unix seconds of the newest; 0 without any.
    """

    keys: bytes
    gaps: bytes
    codes: bytes
    last_s: int

    @property
    def num(self) -> int:
        """How many."""
        return len(self.codes)


class UserState(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of one user. Compared by value; never changed in place.

    Attributes:
        value: as `featurestore.state_layout` has it.
    """

    value: bytes = Header().packed()

    @property
    def header(self) -> Header:
        """All fields of the header."""
        return Header._make(HEADER.unpack_from(self.value))

    @property
    def clock_ms(self) -> int:
        """The largest ts_ms of the user's events: the `now` of everything about the user."""
        clock_ms: int = U64.unpack_from(self.value, CLOCK_MS_AT)[0]
        return clock_ms

    @property
    def num_actions(self) -> int:
        """How many actions are held."""
        num: int = U16.unpack_from(self.value, COUNTS_AT)[0]
        return num

    @property
    def last_action_s(self) -> int:
        """Unix seconds of the newest action; 0 without any."""
        last_s: int = U32.unpack_from(self.value, LAST_S_AT)[0]
        return last_s

    @property
    def session_num_actions(self) -> int:
        """How many actions the current session has had; may exceed what is held."""
        num: int = U16.unpack_from(self.value, SESSION_NUM_ACTIONS_AT)[0]
        return num

    @property
    def session_start_ms(self) -> int:
        """When the current session began, to the second."""
        return self.header.session_start_s * 1000

    @property
    def actions(self) -> HeldActions:
        """The last actions."""
        value, at = self.value, edges_of(self.value)
        return HeldActions(
            keys=value[at.keys_at : at.gaps_at],
            gaps=value[at.gaps_at : at.codes_at],
            codes=value[at.codes_at : at.marks_at],
            last_s=self.last_action_s,
        )

    @property
    def shown(self) -> bytes:
        """The items last shown, the newest last: uint32 of 24 bits of the key, 8 of the count."""
        at = edges_of(self.value)
        return self.value[at.shown_at : at.hidden_at]

    @property
    def hidden_keys(self) -> bytes:
        """Uint32 keys of the items with a negative action."""
        at = edges_of(self.value)
        return self.value[at.hidden_at : at.hidden_days_at]

    @property
    def seen_keys(self) -> bytes:
        """Uint32 keys of the items of positive actions that are not held any more."""
        at = edges_of(self.value)
        return self.value[at.seen_at : at.seen_days_at]

    def history(self, num: int) -> History:
        """Return the newest `num` actions (or all there are), oldest first."""
        value, num_actions = self.value, self.num_actions
        gaps_at, codes_at, _ = action_edges(num_actions)
        first = max(0, num_actions - num)
        num = num_actions - first
        times_s = np.full(num, self.last_action_s, np.int64)
        if num > 1:
            gaps = np.frombuffer(value, "<u2", num - 1, gaps_at + first * GAP_BYTES)
            times_s[:-1] -= seconds_of_gaps(gaps)[::-1].cumsum()[::-1]
        return History(
            keys=np.frombuffer(value, "<u4", num, HEADER_BYTES + first * KEY_BYTES).astype(
                np.uint64
            ),
            times_s=times_s,
            actions=np.frombuffer(value, np.uint8, num, codes_at + first),
        )

    def session_history(self) -> History:
        """Return the actions of the current session that are held, oldest first."""
        return self.history(self.session_num_actions)

    def previous_positive_keys(self, num: int, table: ActionTable) -> list[int]:
        """Return the keys of the last positive actions' items, each once, the newest first.

        Args:
            num: at most so many.
            table: which actions are positive.
        """
        value, positive_codes = self.value, table.positive_codes
        (num_actions,) = U16.unpack_from(value, COUNTS_AT)
        gaps_at, codes_at, codes_end = action_edges(num_actions)
        if num_actions >= num and positive_codes.issuperset(value[codes_end - num : codes_end]):
            # Mostly the last ones are it: different items, and nothing in between.
            last = _keys_of(num).unpack_from(value, gaps_at - num * KEY_BYTES)
            if len({NO_ITEM, *last}) > num:
                return list(last[::-1])
        found: list[int] = []
        for index in range(num_actions - 1, -1, -1):
            if value[codes_at + index] in positive_codes:
                (key,) = U32.unpack_from(value, HEADER_BYTES + index * KEY_BYTES)
                if key != NO_ITEM and key not in found:
                    found.append(key)
                    if len(found) == num:
                        break
        return found

    def has_repeated(self, key: int, num: int, since_s: int, table: ActionTable) -> bool:
        """Say whether so many positive actions on one item are held from a moment on.

        Args:
            key: of the item.
            num: how many, at least 1.
            since_s: unix seconds.
            table: which actions are positive.
        """
        value, packed, left_s = self.value, U32.pack(key), self.last_action_s - since_s
        # Mostly the last action is older, or none was on the item.
        if left_s < 0 or packed not in value:
            return False
        num_actions = self.num_actions
        gaps_at, codes_at, _ = action_edges(num_actions)
        place = num_actions - 1
        while place and (left_s := left_s - _gap_before(value, gaps_at, place)) >= 0:
            place -= 1
        start = HEADER_BYTES + place * KEY_BYTES
        at = value.find(packed, start, gaps_at)
        while at >= 0:
            place, within = divmod(at - HEADER_BYTES, KEY_BYTES)
            if not within and value[codes_at + place] in table.positive_codes:
                num -= 1
                if not num:
                    return True
            at = value.find(packed, at + 1, gaps_at)
        return False

    def acted_mask(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Say of each item whether an action on it is held, or it has been seen."""
        at = edges_of(self.value)
        held = self.value[at.keys_at : at.gaps_at] + self.value[at.seen_at : at.seen_days_at]
        return _are_in(keys, held)

    def hidden_mask(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Say of each item whether the user has hidden it."""
        return _are_in(keys, self.hidden_keys)

    def shown_counts(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Say of each item how many times it was shown, as far as it is among the last shown."""
        counts = np.zeros(len(keys), np.int64)
        if column := self.shown:
            shown = np.sort(np.frombuffer(column, "<u4"))
            marks = (keys >> 8).astype(np.uint32)
            entries = shown.take((shown >> 8).searchsorted(marks), mode="clip")
            found = np.flatnonzero(entries >> 8 == marks)
            counts[found] = entries[found] & 0xFF
        return counts

    @property
    def max_shown_count(self) -> int:
        """The largest of `shown_counts`, over all items."""
        return max(self.shown[::SHOWN_BYTES], default=0)


EMPTY_STATE: Final = UserState()


@lru_cache
def _keys_of(num: int) -> struct.Struct:
    """So many item keys of a column."""
    return struct.Struct(f"<{num}I")


def _gap_before(value: bytes, gaps_at: int, place: int) -> int:
    """Seconds from the action before to the one at `place`, which is not the first."""
    return gap_seconds(U16.unpack_from(value, gaps_at + (place - 1) * GAP_BYTES)[0])


def _are_in(keys: npt.NDArray[np.uint64], column: bytes) -> npt.NDArray[np.bool_]:
    if not column:
        return np.zeros(len(keys), np.bool_)
    held = np.sort(np.frombuffer(column, "<u4"))
    small = keys.astype(np.uint32)
    found: npt.NDArray[np.bool_] = held.take(held.searchsorted(small), mode="clip") == small
    return found
