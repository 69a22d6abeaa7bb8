"""How does a user's state lie in its bytes?

Little-endian, columns of fixed width, oldest first: a header, then the columns in the order in
which `edges` names where they begin. docs/redis-keys.md itemises it. What reads, folds or checks a
state takes its offsets from here.
"""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

STATE_VERSION: Final = 1
"""The first byte. Another one means another layout, which only its own release can read."""

KEY_BYTES: Final = 4
"""Of an item's key."""
GAP_BYTES: Final = 2
"""Of the time from an action to the next one; the newest action has none."""
CODE_BYTES: Final = 1
"""Of an action's code."""
MARK_BYTES: Final = 4
"""Of an event's fingerprint."""
SHOWN_BYTES: Final = 4
"""Of a shown item: 24 bits of its key, and in the low 8 bits how many times it was shown."""
DAY_BYTES: Final = 2
"""Of the day, since 1970, that an item was hidden or seen on."""
DATED_BYTES: Final = KEY_BYTES + DAY_BYTES
"""Of a hidden or seen item: first come the keys of a set, then their days."""

HEADER: Final = struct.Struct("<BQIIHIIIHBBHH")
HEADER_BYTES: Final = HEADER.size
CLOCK_MS_AT: Final = struct.calcsize("<B")
SESSION_NUM_ACTIONS_AT: Final = struct.calcsize("<BQII")
LAST_S_AT: Final = struct.calcsize("<BQIIH")
COUNTS_AT: Final = struct.calcsize("<BQIIHIII")
COUNTS: Final = struct.Struct("<HBBHH")
"""The header's last five fields, by which the columns are found."""

U16: Final = struct.Struct("<H")
U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")


class Header(NamedTuple):
    """The fields of the header, in their order.

    Attributes:
        version: `STATE_VERSION`.
        clock_ms: the largest ts_ms of the user's events: the `now` of everything about the user.
        session_start_s: unix seconds of the session's first event, by the user's clock.
        session_mark: fingerprint of the session's session_id; 0 without one.
        session_num_actions: in the session so far; may exceed what is held.
        last_s: unix seconds of the newest action; 0 without one.
        span_s: seconds from the oldest action to the newest, the sum of the gaps.
        shown_s: unix seconds of the newest impression; what was shown goes when that is too old.
        num_actions: that are held.
        num_marks: of the last events.
        num_shown: items last shown.
        num_hidden: items with a negative action.
        num_seen: items of positive actions that have left the held ones.
    """

    version: int = STATE_VERSION
    clock_ms: int = 0
    session_start_s: int = 0
    session_mark: int = 0
    session_num_actions: int = 0
    last_s: int = 0
    span_s: int = 0
    shown_s: int = 0
    num_actions: int = 0
    num_marks: int = 0
    num_shown: int = 0
    num_hidden: int = 0
    num_seen: int = 0

    def packed(self) -> bytes:
        """Return the header's bytes."""
        return HEADER.pack(*self)


class Edges(NamedTuple):
    """Where the columns begin; the last one ends with the state."""

    keys_at: int
    gaps_at: int
    codes_at: int
    marks_at: int
    shown_at: int
    hidden_at: int
    hidden_days_at: int
    seen_at: int
    seen_days_at: int


def edges_of(value: bytes) -> Edges:
    """Return where the columns of a state begin."""
    return _edges(value[COUNTS_AT:HEADER_BYTES])


# A state is asked for several of its columns in a row.
@lru_cache(maxsize=4096)
def _edges(counts: bytes) -> Edges:
    num_actions, num_marks, num_shown, num_hidden, num_seen = COUNTS.unpack(counts)
    gaps_at, codes_at, marks_at = action_edges(num_actions)
    shown_at = marks_at + num_marks * MARK_BYTES
    hidden_at = shown_at + num_shown * SHOWN_BYTES
    hidden_days_at = hidden_at + num_hidden * KEY_BYTES
    seen_at = hidden_at + num_hidden * DATED_BYTES
    seen_days_at = seen_at + num_seen * KEY_BYTES
    return Edges(
        keys_at=HEADER_BYTES,
        gaps_at=gaps_at,
        codes_at=codes_at,
        marks_at=marks_at,
        shown_at=shown_at,
        hidden_at=hidden_at,
        hidden_days_at=hidden_days_at,
        seen_at=seen_at,
        seen_days_at=seen_days_at,
    )


def action_edges(num_actions: int) -> tuple[int, int, int]:
    """Return where gaps, codes and what follows the actions begin.

    All that most events need to know of `Edges`, at a fifth of its cost.
    """
    gaps_at = HEADER_BYTES + num_actions * KEY_BYTES
    codes_at = gaps_at + (num_actions - 1) * GAP_BYTES if num_actions else gaps_at
    return gaps_at, codes_at, codes_at + num_actions * CODE_BYTES


def num_bytes_of(value: bytes) -> int:
    """Return how many bytes a state has, as its header says."""
    counts: tuple[int, int, int, int, int] = COUNTS.unpack_from(value, COUNTS_AT)
    num_actions, num_marks, num_shown, num_hidden, num_seen = counts
    return (
        action_edges(num_actions)[-1]
        + num_marks * MARK_BYTES
        + num_shown * SHOWN_BYTES
        + (num_hidden + num_seen) * DATED_BYTES
    )


def index_of(value: bytes, entry: bytes, start: int, end: int) -> int:
    """Return the offset at which `entry` stands in the column [start, end) of its width, or -1.

    >>> index_of(b"_abcdcd", b"cd", 1, 7), index_of(b"_abcdcd", b"bc", 1, 7)
    (3, -1)
    """
    at = value.find(entry, start, end)
    while at >= 0 and (at - start) % len(entry):
        at = value.find(entry, at + 1, end)
    return at
