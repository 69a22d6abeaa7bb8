"""The fold step by step, and the bytes that it ends in: what `featurestore.fold` is held equal to.

Written for the reader and not for the clock: a state is taken apart into columns, each step makes
new ones, and the codec puts them together. Nothing here is of the package but the rules, the codes
of gaps and the keys of items.
"""

import struct
from typing import Final, assert_never
from zlib import crc32

import msgspec

from featurestore.actions import Effect
from featurestore.events import Action, Event, Impression, ShownItem, Visit
from featurestore.fold import FoldRules, Outcome
from featurestore.gaps import gap_code, gap_seconds
from featurestore.keys import NO_ITEM, item_key

KEY_BYTES: Final = 4
GAP_BYTES: Final = 2
DAY_BYTES: Final = 2
MARK_BYTES: Final = 4
DAY_S: Final = 86_400
NUM_EVENT_MARKS: Final = 64


class Session(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The session that the user's newest event belongs to.

    Attributes:
        start_s: unix seconds of its first event, by the user's clock.
        mark: fingerprint of its session_id; 0 without one.
        num_actions: in it so far.
    """

    start_s: int = 0
    mark: int = 0
    num_actions: int = 0


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


class SlowState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is remembered of one user. Compared by value; never changed in place.

    Attributes:
        clock_ms: the largest ts_ms of the user's events: the `now` of everything about the user.
        session: the current session.
        actions: the last actions.
        event_marks: uint32 fingerprints of the last event_ids, oldest first.
        shown: uint32 entries of the items last shown, the newest last: 24 bits of the item's key
            and, in the low 8 bits, how many times it was shown (up to 255).
        shown_s: unix seconds of the newest impression; `shown` goes when that is too old.
        hidden: items with a negative action.
        seen: items of positive actions that have left `actions`.
    """

    clock_ms: int = 0
    session: Session = Session()
    actions: ActionColumns = NO_ACTIONS
    event_marks: bytes = b""
    shown: bytes = b""
    shown_s: int = 0
    hidden: DatedKeys = NO_KEYS
    seen: DatedKeys = NO_KEYS


EMPTY: Final = SlowState()


def slow_encode(state: SlowState) -> bytes:
    """Write a state as bytes; equal states give equal bytes."""
    session, actions = state.session, state.actions
    header = struct.pack(
        "<BQIIHIIIHBBHH",
        1,
        state.clock_ms,
        session.start_s,
        session.mark,
        session.num_actions,
        actions.last_s,
        actions.span_s,
        state.shown_s,
        len(actions.codes),
        len(state.event_marks) // MARK_BYTES,
        len(state.shown) // MARK_BYTES,
        len(state.hidden),
        len(state.seen),
    )
    return b"".join(
        (
            header,
            actions.keys,
            actions.gaps,
            actions.codes,
            state.event_marks,
            state.shown,
            state.hidden.keys,
            state.hidden.days,
            state.seen.keys,
            state.seen.days,
        )
    )


def slow_fold(state: SlowState, event: Event, rules: FoldRules) -> tuple[SlowState, Outcome]:
    """Return the state after one more event of its user.

    An event_id among the user's last 64 changes nothing. An event that is older than the
    user's clock counts where it stands in the partition, at the clock's time. After a silence
    longer than the horizon the user is a new one.
    """
    mark = crc32(event.event_id.encode()).to_bytes(MARK_BYTES, "little")
    if index_of(state.event_marks, mark) >= 0:
        return state, Outcome.DUPLICATE
    late = event.ts_ms < state.clock_ms
    clock_ms = state.clock_ms if late else event.ts_ms
    if clock_ms - state.clock_ms > rules.horizon_ms:
        # Not even the marks stay: a state that expires from the store must leave no gap.
        state = EMPTY
    acts = isinstance(event, Action)
    session = _session(state, event, rules, late=late, num_new=1 if acts else 0)
    marks = (state.event_marks + mark)[-NUM_EVENT_MARKS * MARK_BYTES :]
    actions, hidden, seen = state.actions, state.hidden, state.seen
    shown, shown_s = state.shown, state.shown_s
    if isinstance(event, Action):
        spec = rules.table.spec(event.action)
        key = NO_ITEM if event.item_id is None else item_key(event.item_id)
        actions = actions.appended(key=key, code=spec.code, at_s=clock_ms // 1000)
        if len(actions) > rules.max_actions:
            seen = _with_evicted(seen, actions, rules)
            actions = actions.without_oldest()
        if spec.effect is Effect.NEGATIVE and key != NO_ITEM:
            hidden = hidden.with_key(key, at_s=clock_ms // 1000, max_keys=rules.max_hidden)
    elif isinstance(event, Impression):
        shown, shown_s = _shown_after(shown, event.items, rules.max_shown), clock_ms // 1000
    elif not isinstance(event, Visit):
        assert_never(event)
    earliest_s = -((rules.horizon_ms - clock_ms) // 1000)
    while actions.codes and actions.oldest_s < earliest_s:
        actions = actions.without_oldest()
    if shown_s < earliest_s:
        shown, shown_s = b"", 0
    after = SlowState(
        clock_ms=clock_ms,
        session=session,
        actions=actions,
        event_marks=marks,
        shown=shown,
        shown_s=shown_s,
        hidden=hidden.since(earliest_s) if hidden.keys else hidden,
        seen=seen.since(earliest_s) if seen.keys else seen,
    )
    return after, Outcome.LATE if late else Outcome.OK


def _session(
    state: SlowState, event: Event, rules: FoldRules, *, late: bool, num_new: int
) -> Session:
    """Return the session of an event; a session_id decides, else silence.

    A late event belongs to the session that there is.
    """
    session = state.session
    start_s, mark, num_actions = session.start_s, session.mark, session.num_actions
    if not late:
        idle = event.ts_ms - state.clock_ms > rules.idle_ms
        if event.session_id is None:
            begins = idle
            mark = 0 if idle else mark
        else:
            mark = crc32(event.session_id.encode()) or 1
            begins = mark != session.mark and (idle or session.mark != 0)
        if begins:
            start_s, num_actions = event.ts_ms // 1000, 0
        elif mark == session.mark and not num_new:
            return session
    elif not num_new:
        return session
    return Session(start_s=start_s, mark=mark, num_actions=min(num_actions + num_new, 0xFFFF))


def _with_evicted(seen: DatedKeys, actions: ActionColumns, rules: FoldRules) -> DatedKeys:
    """Move the item of the oldest action, which makes room, to the seen ones if it was positive."""
    key = int.from_bytes(actions.keys[:KEY_BYTES], "little")
    if key == NO_ITEM or actions.codes[0] not in rules.table.positive_codes:
        return seen
    return seen.with_key(key, at_s=actions.oldest_s, max_keys=rules.max_seen)


def _shown_after(shown: bytes, items: tuple[ShownItem, ...], max_shown: int) -> bytes:
    """Count the slate's first items as shown once more, and move them to the end."""
    entries = {entry >> 8: entry for entry in struct.unpack(f"<{len(shown) // MARK_BYTES}I", shown)}
    for item in items[:max_shown]:
        mark = item_key(item.item_id) >> 8
        entry = entries.pop(mark, mark << 8)
        entries[mark] = entry if entry & 0xFF == 0xFF else entry + 1
    newest = list(entries.values())[-max_shown:]
    return struct.pack(f"<{len(newest)}I", *newest)


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
