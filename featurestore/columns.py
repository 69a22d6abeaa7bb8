"""How a user's past lies in memory: byte columns, so that a fold is a few slices.

A user's actions are three parallel columns of fixed width, 7 bytes an action (docs/adr/0008).
Whatever is held has a time, so that nothing outlives the horizon; the times are those of the
user's clock, which never goes back, so every column is in the order of time and expiry cuts a
prefix.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

KEY_BYTES: Final = 4
GAP_BYTES: Final = 2
DAY_BYTES: Final = 2
DAY_S: Final = 86_400

_EXACT_GAPS: Final = 1 << 15
_COARSE_S: Final = 1 << 10
_COARSE_OFFSET_S: Final = _EXACT_GAPS * (_COARSE_S - 1)
MAX_GAP_S: Final = _EXACT_GAPS + (_EXACT_GAPS - 1) * _COARSE_S
"""388 days: the longest gap that two bytes tell apart, and so the longest horizon."""


def gap_code(gap_s: int) -> int:
    """Code the seconds between two actions in 16 bits.

    Exact below 9.1 hours, above rounded up to the next of steps of 1,024 s (at most 3 %): an
    action then seems older than it is, never younger, so that none outlives the horizon.

    >>> [gap_seconds(gap_code(gap_s)) for gap_s in (30, 32_767, 40_000)]
    [30, 32767, 40960]
    """
    if gap_s < _EXACT_GAPS:
        return gap_s
    return min(_EXACT_GAPS - (_EXACT_GAPS - gap_s) // _COARSE_S, 2 * _EXACT_GAPS - 1)


def gap_seconds(code: int) -> int:
    """Return the seconds that a gap's code stands for."""
    return code if code < _EXACT_GAPS else _EXACT_GAPS + (code - _EXACT_GAPS) * _COARSE_S


def seconds_of_gaps(codes: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Return the seconds that gaps' codes stand for.

    >>> seconds_of_gaps(np.array([30, 32_768, 32_769], np.uint16)).tolist()
    [30, 32768, 33792]
    """
    wide = codes.astype(np.int64)
    return np.where(wide < _EXACT_GAPS, wide, wide * _COARSE_S - _COARSE_OFFSET_S)


class ActionColumns(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A user's last actions, oldest first.

    Attributes:
        keys: little-endian uint32 item keys, 0 for an action without an item.
        gaps: uint16 codes of the time from each action to the next, so one fewer than actions:
            an action's time depends on what came after it, never on what is forgotten.
        codes: one byte an action.
        last_s: unix seconds of the newest.
        span_s: seconds from the oldest to the newest, the sum of `gaps`.
    """

    keys: bytes = b""
    gaps: bytes = b""
    codes: bytes = b""
    last_s: int = 0
    span_s: int = 0

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def oldest_s(self) -> int:
        """Unix seconds of the oldest action."""
        return self.last_s - self.span_s

    def appended(self, *, key: int, code: int, at_s: int) -> "ActionColumns":
        """Return the columns with one action more, not earlier than the newest."""
        if not self.codes:
            return ActionColumns(
                keys=key.to_bytes(KEY_BYTES, "little"), codes=bytes((code,)), last_s=at_s
            )
        gap = gap_code(at_s - self.last_s)
        return ActionColumns(
            keys=self.keys + key.to_bytes(KEY_BYTES, "little"),
            gaps=self.gaps + gap.to_bytes(GAP_BYTES, "little"),
            codes=self.codes + bytes((code,)),
            last_s=at_s,
            span_s=self.span_s + gap_seconds(gap),
        )

    def oldest_as_of(self, now_s: int) -> int:
        """Unix seconds of the oldest action, as they will be told once there is one at `now_s`."""
        return now_s - self.span_s - gap_seconds(gap_code(now_s - self.last_s))

    def shifted(self, *, key: int, code: int, at_s: int) -> "ActionColumns":
        """Return the columns with one action more and without their oldest; one is held at least.

        The same as `appended` and `without_oldest` one after the other, for half of the cost.
        """
        gap = gap_code(at_s - self.last_s)
        gaps = self.gaps + gap.to_bytes(GAP_BYTES, "little")
        first = gap_seconds(int.from_bytes(gaps[:GAP_BYTES], "little"))
        return ActionColumns(
            keys=self.keys[KEY_BYTES:] + key.to_bytes(KEY_BYTES, "little"),
            gaps=gaps[GAP_BYTES:],
            codes=self.codes[1:] + bytes((code,)),
            last_s=at_s,
            span_s=self.span_s + gap_seconds(gap) - first,
        )

    def without_oldest(self) -> "ActionColumns":
        """Return the columns without their oldest action."""
        if len(self.codes) <= 1:
            return NO_ACTIONS
        return ActionColumns(
            keys=self.keys[KEY_BYTES:],
            gaps=self.gaps[GAP_BYTES:],
            codes=self.codes[1:],
            last_s=self.last_s,
            span_s=self.span_s - gap_seconds(int.from_bytes(self.gaps[:GAP_BYTES], "little")),
        )

    def times_s(self) -> npt.NDArray[np.int64]:
        """Return the unix seconds of every action."""
        times = np.full(len(self.codes), self.last_s, np.int64)
        gaps = seconds_of_gaps(np.frombuffer(self.gaps, "<u2"))
        times[:-1] -= gaps[::-1].cumsum()[::-1]
        return times


NO_ACTIONS: Final = ActionColumns()


class DatedKeys(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A set of item keys, each with the day it was last added on; oldest first.

    Attributes:
        keys: little-endian uint32, each once.
        days: uint16 days since 1970, in the same order.
    """

    keys: bytes = b""
    days: bytes = b""

    def __len__(self) -> int:
        return len(self.keys) // KEY_BYTES

    def with_key(self, key: int, *, at_s: int, max_keys: int) -> "DatedKeys":
        """Return the set with `key` as its newest; beyond `max_keys` the oldest goes."""
        keys, days, key_bytes = self.keys, self.days, key.to_bytes(KEY_BYTES, "little")
        found = index_of(keys, key_bytes)
        if found >= 0:
            keys = keys[: found * KEY_BYTES] + keys[(found + 1) * KEY_BYTES :]
            days = days[: found * DAY_BYTES] + days[(found + 1) * DAY_BYTES :]
        day = (at_s // DAY_S).to_bytes(DAY_BYTES, "little")
        return DatedKeys(
            keys=(keys + key_bytes)[-max_keys * KEY_BYTES :],
            days=(days + day)[-max_keys * DAY_BYTES :],
        )

    def since(self, earliest_s: int) -> "DatedKeys":
        """Return what was added on days that begin at or after `earliest_s`."""
        if not self.days or self._day(0) * DAY_S >= earliest_s:
            return self
        num_expired = 1
        while num_expired < len(self) and self._day(num_expired) * DAY_S < earliest_s:
            num_expired += 1
        return DatedKeys(
            keys=self.keys[num_expired * KEY_BYTES :], days=self.days[num_expired * DAY_BYTES :]
        )

    def _day(self, index: int) -> int:
        return int.from_bytes(self.days[index * DAY_BYTES : (index + 1) * DAY_BYTES], "little")


NO_KEYS: Final = DatedKeys()


def index_of(column: bytes, entry: bytes) -> int:
    """Return where `entry` stands in a column of entries of its width; -1 if nowhere.

    >>> index_of(b"abcdcd", b"cd"), index_of(b"abcdcd", b"bc")
    (1, -1)
    """
    width = len(entry)
    at = column.find(entry)
    while at >= 0 and at % width:
        at = column.find(entry, at + 1)
    return at // width if at >= 0 else -1
