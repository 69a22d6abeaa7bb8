"""How does one event change what we remember of its user?

The state is a pure fold of the user's events in partition order: no clock but the events' own,
no vocabulary, no randomness. The same events give the same bytes, however they are cut into
chunks.

A fold goes from bytes to bytes: what stays is sliced from the state before, and all is joined
once. Half of a worker's time without lists is this, so it takes no column apart.
`tests/featurestore/slow_fold.py` says the same step by step, and the two are held equal.
"""

import enum
from dataclasses import dataclass
from typing import Final, assert_never
from zlib import crc32

import msgspec

from featurestore.actions import ActionTable, Effect
from featurestore.events import Action, Event, Impression, Visit
from featurestore.expiry import day_s, without_expired
from featurestore.gaps import DAY_S, MAX_GAP_S, gap_code, gap_seconds
from featurestore.item_sets import shown_after, with_key
from featurestore.keys import NO_ITEM, item_key
from featurestore.state import EMPTY_STATE, UserState
from featurestore.state_layout import (
    CODE_BYTES,
    DATED_BYTES,
    DAY_BYTES,
    GAP_BYTES,
    HEADER,
    HEADER_BYTES,
    KEY_BYTES,
    MARK_BYTES,
    SHOWN_BYTES,
    STATE_VERSION,
    U16,
    U32,
    action_edges,
    index_of,
)

FOLD_VERSION: Final = 1
"""Raised whenever the same events would give other bytes: states must then be built anew."""

NUM_EVENT_MARKS: Final = 64
"""How many of a user's events back a repeated delivery is recognised."""
MAX_HORIZON_MS: Final = MAX_GAP_S * 1000

_NO_KEY: Final = U32.pack(NO_ITEM)
_CODES: Final = [bytes((code,)) for code in range(256)]
_MAX_COUNT: Final = 2**16 - 1
# Looked up once: a fold asks each of them several times.
_header_of: Final = HEADER.unpack_from
_header: Final = HEADER.pack
_u16_at: Final = U16.unpack_from
_u16: Final = U16.pack
_u32: Final = U32.pack


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRules:
    """What the fold keeps, and for how long.

    Attributes:
        table: the actions' effects.
        max_actions: the newest so many actions are kept whole.
        max_seen: of older positive ones only the item is kept, of the newest so many.
        max_hidden: items hidden by a negative action.
        max_shown: of the items last shown.
        horizon_ms: nothing older than this, before the user's newest event, is held.
        idle_ms: a longer silence ends a session that has no session_id.
    """

    table: ActionTable
    max_actions: int = 200
    max_seen: int = 4096
    max_hidden: int = 256
    max_shown: int = 20
    horizon_ms: int = 90 * DAY_S * 1000
    idle_ms: int = 30 * 60 * 1000

    def __post_init__(self) -> None:
        limits = {
            "max_actions": (self.max_actions, 1, 1000),
            "max_seen": (self.max_seen, 1, 2**16 - 1),
            "max_hidden": (self.max_hidden, 1, 2**16 - 1),
            "max_shown": (self.max_shown, 1, 255),
            "horizon_ms": (self.horizon_ms, DAY_S * 1000, MAX_HORIZON_MS),
            "idle_ms": (self.idle_ms, 1000, self.horizon_ms),
        }
        problems = [
            f"{name} is {value}, expected {low} to {high}"
            for name, (value, low, high) in limits.items()
            if not low <= value <= high
        ]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def version(self) -> str:
        """What a checkpoint names: states folded under another version do not go on."""
        effects = sorted(
            (name, spec.code, spec.effect) for name, spec in self.table.by_name.items()
        )
        rules = (
            effects,
            self.max_actions,
            self.max_seen,
            self.max_hidden,
            self.max_shown,
            self.horizon_ms,
            self.idle_ms,
        )
        return f"{FOLD_VERSION}-{crc32(repr(rules).encode()):08x}"


class Outcome(enum.StrEnum):
    """What became of an event that could be decoded."""

    OK = "ok"
    DUPLICATE = "duplicate"
    LATE = "late"


# Bound for the fold: asking a class of the enum module for a member costs a call.
_OK: Final = Outcome.OK
_LATE: Final = Outcome.LATE
_NEGATIVE: Final = Effect.NEGATIVE


class Folded(msgspec.Struct, frozen=True, gc=False):
    """A state after an event, and what became of the event.

    Attributes:
        state: after the event.
        outcome: what became of it.
        clock_ms: the state's; here so that nobody has to read it again.
        session_num_actions: likewise.
    """

    state: UserState
    outcome: Outcome
    clock_ms: int
    session_num_actions: int


def fold(state: UserState, event: Event, rules: FoldRules) -> Folded:
    """Return the state after one more event of its user.

    An event_id among the user's last 64 changes nothing. An event that is older than the
    user's clock counts where it stands in the partition, at the clock's time. After a silence
    longer than the horizon the user is a new one.
    """
    value = state.value
    (
        _,
        clock_ms,
        start_s,
        session_mark,
        num_in_session,
        last_s,
        span_s,
        shown_s,
        num_actions,
        num_marks,
        num_shown,
        num_hidden,
        num_seen,
    ) = _header_of(value)
    gaps_at, codes_at, marks_at = action_edges(num_actions)
    shown_at = marks_at + num_marks * MARK_BYTES
    mark = _u32(crc32(event.event_id.encode()))
    if index_of(value, mark, marks_at, shown_at) >= 0:
        return Folded(state, Outcome.DUPLICATE, clock_ms, num_in_session)
    silence_ms = event.ts_ms - clock_ms
    if silence_ms > rules.horizon_ms and state is not EMPTY_STATE:
        # Not even the marks stay: a state that expires from the store must leave no gap.
        return fold(EMPTY_STATE, event, rules)
    now_ms = clock_ms if silence_ms < 0 else event.ts_ms
    now_s = now_ms // 1000
    start_s, session_mark, num_in_session = _session(
        event, silence_ms, rules.idle_ms, start_s, session_mark, num_in_session
    )
    hidden_at = shown_at + num_shown * SHOWN_BYTES
    seen_at = hidden_at + num_hidden * DATED_BYTES
    shown, hidden, seen = value[shown_at:hidden_at], [value[hidden_at:seen_at]], [value[seen_at:]]
    actions: list[bytes]
    if isinstance(event, Action):
        spec = rules.table.spec(event.action)
        key = _NO_KEY if event.item_id is None else _u32(item_key(event.item_id))
        gap = gap_code(now_s - last_s) if num_actions else 0
        oldest_s = now_s - span_s - gap_seconds(gap)
        gone = num_actions >= rules.max_actions
        num_kept = num_actions - gone
        actions = [
            value[HEADER_BYTES + gone * KEY_BYTES : gaps_at],
            key,
            value[gaps_at + gone * GAP_BYTES : codes_at],
            _u16(gap) if num_kept else b"",
            value[codes_at + gone * CODE_BYTES : marks_at],
            _CODES[spec.code],
        ]
        if gone:
            oldest = value[HEADER_BYTES : HEADER_BYTES + KEY_BYTES]
            if oldest != _NO_KEY and value[codes_at] in rules.table.positive_codes:
                seen, num_seen = with_key(
                    value, seen_at, num_seen, oldest, oldest_s, rules.max_seen
                )
            oldest_s += gap_seconds(_u16_at(value, gaps_at)[0] if num_kept else gap)
        if spec.effect is _NEGATIVE and key != _NO_KEY:
            hidden, num_hidden = with_key(
                value, hidden_at, num_hidden, key, now_s, rules.max_hidden
            )
        num_in_session += num_in_session < _MAX_COUNT
        num_actions, last_s, span_s = num_kept + 1, now_s, now_s - oldest_s
    else:
        actions = [value[HEADER_BYTES:marks_at]]
        if isinstance(event, Impression):
            shown, shown_s = shown_after(shown, event.items, rules.max_shown), now_s
            num_shown = len(shown) // SHOWN_BYTES
        elif not isinstance(event, Visit):
            assert_never(event)
    forgets = num_marks >= NUM_EVENT_MARKS
    after = b"".join(
        [
            _header(
                STATE_VERSION,
                now_ms,
                start_s,
                session_mark,
                num_in_session,
                last_s,
                span_s,
                shown_s,
                num_actions,
                num_marks + 1 - forgets,
                num_shown,
                num_hidden,
                num_seen,
            ),
            *actions,
            value[marks_at + forgets * MARK_BYTES : shown_at],
            mark,
            shown,
            *hidden,
            *seen,
        ]
    )
    earliest_s = -((rules.horizon_ms - now_ms) // 1000)
    # The hidden and the seen items are the last columns: found from the end.
    seen_at = len(after) - num_seen * DATED_BYTES
    if (
        (num_actions and last_s - span_s < earliest_s)
        or 0 < shown_s < earliest_s
        or (num_hidden and day_s(after, seen_at - num_hidden * DAY_BYTES) < earliest_s)
        or (num_seen and day_s(after, seen_at + num_seen * KEY_BYTES) < earliest_s)
    ):
        after = without_expired(after, earliest_s)
    return Folded(UserState(after), _LATE if silence_ms < 0 else _OK, now_ms, num_in_session)


def _session(
    event: Event, silence_ms: int, idle_ms: int, start_s: int, mark: int, num_actions: int
) -> tuple[int, int, int]:
    """Return start, mark and number of actions of an event's session, which may be the same.

    A session_id decides, else silence. A late event, after a silence below 0, belongs to the
    session that there is.
    """
    if silence_ms < 0:
        return start_s, mark, num_actions
    if event.session_id is None:
        return (event.ts_ms // 1000, 0, 0) if silence_ms > idle_ms else (start_s, mark, num_actions)
    own = crc32(event.session_id.encode()) or 1
    if own != mark and (mark or silence_ms > idle_ms):
        return event.ts_ms // 1000, own, 0
    return start_s, own, num_actions
