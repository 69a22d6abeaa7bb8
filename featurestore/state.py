"""What we remember of a user, and how one event changes it.

The state is a pure fold of the user's events in partition order: no clock but the events' own,
no vocabulary, no randomness. The same events give the same bytes, however they are cut into
chunks.
"""

import enum
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple, assert_never
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from featurestore.actions import ActionTable, Effect
from featurestore.columns import (
    DAY_S,
    KEY_BYTES,
    MAX_GAP_S,
    NO_ACTIONS,
    NO_KEYS,
    ActionColumns,
    DatedKeys,
    index_of,
)
from featurestore.events import Action, Event, Impression, ShownItem, Visit
from featurestore.keys import NO_ITEM, item_key

FOLD_VERSION: Final = 1
"""Raised whenever the same events would give other bytes: states must then be built anew."""

NUM_EVENT_MARKS: Final = 64
"""How many of a user's events back a repeated delivery is recognised."""
MARK_BYTES: Final = 4
MAX_HORIZON_MS: Final = MAX_GAP_S * 1000


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


_key_at: Final = struct.Struct("<I").unpack_from


class Outcome(enum.StrEnum):
    """What became of an event that could be decoded."""

    OK = "ok"
    DUPLICATE = "duplicate"
    LATE = "late"


class History(NamedTuple):
    """A user's last actions, oldest first."""

    keys: npt.NDArray[np.uint64]
    times_s: npt.NDArray[np.int64]
    actions: npt.NDArray[np.uint8]


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


class UserState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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

    @property
    def num_actions(self) -> int:
        """How many actions are held."""
        return len(self.actions)

    @property
    def session_num_actions(self) -> int:
        """How many actions the current session has had; may exceed what is held."""
        return self.session.num_actions

    @property
    def session_start_ms(self) -> int:
        """When the current session began, to the second."""
        return self.session.start_s * 1000

    def history(self, num: int) -> History:
        """Return the newest `num` actions (or all there are), oldest first."""
        start = max(0, len(self.actions) - num)
        return History(
            keys=np.frombuffer(self.actions.keys, "<u4")[start:].astype(np.uint64),
            times_s=self.actions.times_s()[start:],
            actions=np.frombuffer(self.actions.codes, np.uint8)[start:],
        )

    def session_history(self) -> History:
        """Return the actions of the current session that are held, oldest first."""
        return self.history(self.session.num_actions)

    def previous_positive_keys(self, num: int, table: ActionTable) -> list[int]:
        """Return the keys of the last positive actions' items, each once, the newest first.

        Args:
            num: at most so many.
            table: which actions are positive.
        """
        found: list[int] = []
        codes, keys = self.actions.codes, self.actions.keys
        for at in range(len(codes) - 1, -1, -1):
            if codes[at] in table.positive_codes:
                (key,) = _key_at(keys, at * KEY_BYTES)
                if key != NO_ITEM and key not in found:
                    found.append(key)
                    if len(found) == num:
                        break
        return found

    def acted_mask(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Say of each item whether an action on it is held, or it has been seen."""
        return _are_in(keys, self.actions.keys + self.seen.keys)

    def hidden_mask(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Say of each item whether the user has hidden it."""
        return _are_in(keys, self.hidden.keys)

    def shown_counts(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Say of each item how many times it was shown, as far as it is among the last shown."""
        counts = np.zeros(len(keys), np.int64)
        if self.shown:
            shown = np.sort(np.frombuffer(self.shown, "<u4"))
            marks = (keys >> 8).astype(np.uint32)
            entries = shown.take((shown >> 8).searchsorted(marks), mode="clip")
            found = np.flatnonzero(entries >> 8 == marks)
            counts[found] = entries[found] & 0xFF
        return counts


EMPTY_STATE: Final = UserState()


class Folded(NamedTuple):
    """A state after an event, and what became of the event."""

    state: UserState
    outcome: Outcome


def fold(state: UserState, event: Event, rules: FoldRules) -> Folded:
    """Return the state after one more event of its user.

    An event_id among the user's last 64 changes nothing. An event that is older than the
    user's clock counts where it stands in the partition, at the clock's time. After a silence
    longer than the horizon the user is a new one.
    """
    mark = crc32(event.event_id.encode()).to_bytes(MARK_BYTES, "little")
    # Most marks are nowhere in the column, which is told faster than where one stands.
    if mark in state.event_marks and index_of(state.event_marks, mark) >= 0:
        return Folded(state, Outcome.DUPLICATE)
    late = event.ts_ms < state.clock_ms
    clock_ms = state.clock_ms if late else event.ts_ms
    if clock_ms - state.clock_ms > rules.horizon_ms:
        # Not even the marks stay: a state that expires from the store must leave no gap.
        state = EMPTY_STATE
    acts = isinstance(event, Action)
    session = _session(state, event, rules, late=late, num_new=1 if acts else 0)
    marks = (state.event_marks + mark)[-NUM_EVENT_MARKS * MARK_BYTES :]
    actions, hidden, seen = state.actions, state.hidden, state.seen
    shown, shown_s = state.shown, state.shown_s
    if isinstance(event, Action):
        spec = rules.table.spec(event.action)
        key = NO_ITEM if event.item_id is None else item_key(event.item_id)
        if len(actions.codes) < rules.max_actions:
            actions = actions.appended(key=key, code=spec.code, at_s=clock_ms // 1000)
        else:
            seen = _with_evicted(seen, actions, clock_ms // 1000, rules)
            actions = actions.shifted(key=key, code=spec.code, at_s=clock_ms // 1000)
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
    after = UserState(
        clock_ms=clock_ms,
        session=session,
        actions=actions,
        event_marks=marks,
        shown=shown,
        shown_s=shown_s,
        hidden=hidden.since(earliest_s) if hidden.keys else hidden,
        seen=seen.since(earliest_s) if seen.keys else seen,
    )
    return Folded(after, Outcome.LATE if late else Outcome.OK)


def _session(
    state: UserState, event: Event, rules: FoldRules, *, late: bool, num_new: int
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


def _with_evicted(
    seen: DatedKeys, actions: ActionColumns, now_s: int, rules: FoldRules
) -> DatedKeys:
    """Move the item of the oldest action, which makes room, to the seen ones if it was positive."""
    key = int.from_bytes(actions.keys[:KEY_BYTES], "little")
    if key == NO_ITEM or actions.codes[0] not in rules.table.positive_codes:
        return seen
    return seen.with_key(key, at_s=actions.oldest_as_of(now_s), max_keys=rules.max_seen)


def _shown_after(shown: bytes, items: tuple[ShownItem, ...], max_shown: int) -> bytes:
    """Count the slate's first items as shown once more, and move them to the end."""
    entries = {entry >> 8: entry for entry in struct.unpack(f"<{len(shown) // MARK_BYTES}I", shown)}
    for item in items[:max_shown]:
        mark = item_key(item.item_id) >> 8
        entry = entries.pop(mark, mark << 8)
        entries[mark] = entry if entry & 0xFF == 0xFF else entry + 1
    newest = list(entries.values())[-max_shown:]
    return struct.pack(f"<{len(newest)}I", *newest)


def _are_in(keys: npt.NDArray[np.uint64], column: bytes) -> npt.NDArray[np.bool_]:
    if not column:
        return np.zeros(len(keys), np.bool_)
    held = np.sort(np.frombuffer(column, "<u4"))
    small = keys.astype(np.uint32)
    found: npt.NDArray[np.bool_] = held.take(held.searchsorted(small), mode="clip") == small
    return found
