"""How the candidates stand in their user's past: the session's own actions on each of them.

Times and steps are counted back from the user's last action, never from the moment of asking:
what is asked about must not leak into the answer.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.state import UserState

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

NO_ACTION: Final = 0
NUM_ACTIONS: Final = 17
"""Kinds of action that features tell apart: none, then codes 0 to 14, then all beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the user did with each of N candidates.

    Attributes:
        num_in_session: int64[N], actions on the item in the current session.
        num_clicks: int64[N], of these the clicks.
        num_before: int64[N], actions on the item before the session, as far as they are held.
        steps_back: int64[N], the user's actions since the last one on the item; -1 for none in
            the session.
        seconds_back: int64[N], the same in seconds.
        action: int64[N], kind of the last action on the item in the session, 0 for none.
        is_last: bool[N], whether the session's last action on any item was on this one.
        session_num_actions: of the session.
        session_num_clicks: of the session.
        last_action: kind of the session's last action, 0 for none.
    """

    num_in_session: Ints
    num_clicks: Ints
    num_before: Ints
    steps_back: Ints
    seconds_back: Ints
    action: Ints
    is_last: npt.NDArray[np.bool_]
    session_num_actions: int
    session_num_clicks: int
    last_action: int


def standing_of(state: UserState, keys: Keys, is_click: npt.NDArray[np.bool_]) -> Standing:
    """Look up N candidates in their user's held actions.

    Few candidates are among them, so the work beyond finding these hardly depends on N.

    Args:
        state: the user's.
        keys: uint64[N] item keys.
        is_click: bool[256], which action codes count as clicks.
    """
    history = state.history(state.num_actions)
    num_held = len(history.keys)
    num_session = min(state.session_num_actions, num_held)
    start = num_held - num_session
    kinds = np.minimum(history.actions.astype(np.int64) + 1, NUM_ACTIONS - 1)
    clicked = is_click[history.actions[start:]]
    items = np.flatnonzero(history.keys[start:])

    found = _found(keys, history.keys)
    same_MH = history.keys == keys[found, None]
    same_MS = same_MH[:, start:]
    num_in_session = same_MS.sum(axis=1)
    acted = num_in_session > 0
    steps_back = same_MH[:, ::-1].argmax(axis=1) if num_held else num_in_session
    last_at = num_held - 1 - steps_back
    seconds_back = state.actions.last_s - history.times_s[last_at]
    return Standing(
        num_in_session=_spread(num_in_session, found, len(keys)),
        num_clicks=_spread((same_MS & clicked).sum(axis=1), found, len(keys)),
        num_before=_spread(same_MH[:, :start].sum(axis=1), found, len(keys)),
        steps_back=_spread(np.where(acted, steps_back, -1), found, len(keys), fill=-1),
        seconds_back=_spread(np.where(acted, seconds_back, -1), found, len(keys), fill=-1),
        action=_spread(np.where(acted, kinds[last_at], NO_ACTION), found, len(keys)),
        is_last=(
            keys == history.keys[start + items[-1]] if len(items) else np.zeros(len(keys), np.bool_)
        ),
        session_num_actions=state.session_num_actions,
        session_num_clicks=int(clicked.sum()),
        last_action=int(kinds[-1]) if num_session else NO_ACTION,
    )


def _found(keys: Keys, column: Keys) -> Ints:
    """Return the indices of those keys that occur in `column`."""
    if not len(column):
        return np.empty(0, np.int64)
    ordered = np.sort(column)
    return np.flatnonzero(ordered.take(ordered.searchsorted(keys), mode="clip") == keys)


def _spread(values: Ints, at: Ints, num: int, fill: int = 0) -> Ints:
    """Put values where they belong among `num`."""
    spread = np.full(num, fill, np.int64)
    spread[at] = values
    return spread
