"""What is left of a state without what is older than the horizon?

Every column is in the order of time, because a user's clock never goes back: expiry cuts prefixes.
"""

from featurestore.gaps import DAY_S, gap_seconds
from featurestore.state_layout import (
    CODE_BYTES,
    DAY_BYTES,
    GAP_BYTES,
    HEADER,
    KEY_BYTES,
    U16,
    Header,
    edges_of,
)


def day_s(value: bytes, at: int) -> int:
    """Return the unix seconds at which the day begins that stands at this offset."""
    day: int = U16.unpack_from(value, at)[0]
    return day * DAY_S


def without_expired(value: bytes, earliest_s: int) -> bytes:
    """Return a state without what it holds of before `earliest_s`, unix seconds.

    Of the items hidden or seen it is the day's beginning that counts.
    """
    header, at = Header._make(HEADER.unpack_from(value)), edges_of(value)
    num_left, span_s = _actions_since(value, header, earliest_s)
    gone = header.num_actions - num_left
    shows = header.shown_s >= earliest_s
    hidden_gone = _num_before(value, at.hidden_days_at, header.num_hidden, earliest_s)
    seen_gone = _num_before(value, at.seen_days_at, header.num_seen, earliest_s)
    left = header._replace(
        last_s=header.last_s if num_left else 0,
        span_s=span_s,
        shown_s=header.shown_s if shows else 0,
        num_actions=num_left,
        num_shown=header.num_shown if shows else 0,
        num_hidden=header.num_hidden - hidden_gone,
        num_seen=header.num_seen - seen_gone,
    )
    return b"".join(
        (
            left.packed(),
            value[at.keys_at + gone * KEY_BYTES : at.gaps_at],
            value[at.gaps_at + gone * GAP_BYTES : at.codes_at],
            value[at.codes_at + gone * CODE_BYTES : at.shown_at],
            value[at.shown_at : at.hidden_at] if shows else b"",
            value[at.hidden_at + hidden_gone * KEY_BYTES : at.hidden_days_at],
            value[at.hidden_days_at + hidden_gone * DAY_BYTES : at.seen_at],
            value[at.seen_at + seen_gone * KEY_BYTES : at.seen_days_at],
            value[at.seen_days_at + seen_gone * DAY_BYTES :],
        )
    )


def _actions_since(value: bytes, header: Header, earliest_s: int) -> tuple[int, int]:
    """Return how many actions are not too old, and the seconds that they span."""
    num, span_s, at = header.num_actions, header.span_s, edges_of(value).gaps_at
    while num and header.last_s - span_s < earliest_s:
        num -= 1
        if num:
            span_s -= gap_seconds(U16.unpack_from(value, at)[0])
            at += GAP_BYTES
    return num, span_s if num else 0


def _num_before(value: bytes, days_at: int, num: int, earliest_s: int) -> int:
    """Return how many days of a column, the first ones, begin too early."""
    gone = 0
    while gone < num and day_s(value, days_at + gone * DAY_BYTES) < earliest_s:
        gone += 1
    return gone
