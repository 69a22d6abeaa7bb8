"""How a user's state is written in the store: bytes, versioned, the same for the same state.

Layout, little-endian: a header of 39 bytes, then the columns in the order of `encode_state`, whose
lengths the header gives. docs/redis-keys.md itemises it.
"""

import struct
from typing import Final

from featurestore.columns import DAY_BYTES, GAP_BYTES, KEY_BYTES, ActionColumns, DatedKeys
from featurestore.errors import FeatureStoreError
from featurestore.state import MARK_BYTES, Session, UserState

STATE_VERSION: Final = 1
"""The first byte. Another one means another layout, which only its own release can read."""

_HEADER: Final = struct.Struct("<BQIIHIIIHBBHH")
HEADER_BYTES: Final = _HEADER.size


class StateCorrupt(FeatureStoreError):
    """Bytes that are no user state of this version."""


def encode_state(state: UserState) -> bytes:
    """Write a state as bytes; equal states give equal bytes."""
    session, actions = state.session, state.actions
    header = _HEADER.pack(
        STATE_VERSION,
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


def decode_state(value: bytes) -> UserState:
    """Read a state that `encode_state` wrote.

    Raises:
        StateCorrupt: if the version or the length is not as expected.
    """
    if len(value) < HEADER_BYTES or value[0] != STATE_VERSION:
        raise StateCorrupt(
            f"found {len(value)} bytes beginning {value[:1].hex() or 'nowhere'}, expected a user "
            f"state of version {STATE_VERSION}; delete the states and checkpoints to have them "
            "folded anew from the log"
        )
    (
        _,
        clock_ms,
        start_s,
        session_mark,
        session_num_actions,
        last_s,
        span_s,
        shown_s,
        num_actions,
        num_marks,
        num_shown,
        num_hidden,
        num_seen,
    ) = _HEADER.unpack_from(value)
    gaps_at = HEADER_BYTES + num_actions * KEY_BYTES
    codes_at = gaps_at + max(num_actions - 1, 0) * GAP_BYTES
    marks_at = codes_at + num_actions
    shown_at = marks_at + num_marks * MARK_BYTES
    hidden_at = shown_at + num_shown * MARK_BYTES
    hidden_days_at = hidden_at + num_hidden * KEY_BYTES
    seen_at = hidden_days_at + num_hidden * DAY_BYTES
    seen_days_at = seen_at + num_seen * KEY_BYTES
    end = seen_days_at + num_seen * DAY_BYTES
    if len(value) != end:
        raise StateCorrupt(
            f"found a user state of {len(value)} bytes, expected {end} from its header; delete "
            "the states and checkpoints to have them folded anew from the log"
        )
    return UserState(
        clock_ms=clock_ms,
        session=Session(start_s=start_s, mark=session_mark, num_actions=session_num_actions),
        actions=ActionColumns(
            keys=value[HEADER_BYTES:gaps_at],
            gaps=value[gaps_at:codes_at],
            codes=value[codes_at:marks_at],
            last_s=last_s,
            span_s=span_s,
        ),
        event_marks=value[marks_at:shown_at],
        shown=value[shown_at:hidden_at],
        shown_s=shown_s,
        hidden=DatedKeys(keys=value[hidden_at:hidden_days_at], days=value[hidden_days_at:seen_at]),
        seen=DatedKeys(keys=value[seen_at:seen_days_at], days=value[seen_days_at:end]),
    )
