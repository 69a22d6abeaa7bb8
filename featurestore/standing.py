"""How the candidates stand in their users' past: the session's own actions on each of them.

Times and steps are counted back from the user's last action, never from the moment of asking:
what is asked about must not leak into the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.gaps import seconds_of_gaps
from featurestore.state import UserState
from featurestore.state_layout import GAP_BYTES, KEY_BYTES

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]

NO_ACTION: Final = 0
NUM_ACTIONS: Final = 17
"""Kinds of action that features tell apart: none, then codes 0 to 14, then all beyond."""
NUM_TOUCHES: Final = 8
"""Sets of the three coarse kinds of `Standing.touches`."""
MAX_DWELL_S: Final = 600
"""Longest time after one action that counts as spent on its item: beyond it the user was away."""

_UNLISTED: Final = 0
"""The code of actions that the deployment does not list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What B users did with N candidates, each a candidate of one of them.

    Attributes:
        num_in_session: int64[N], actions on the item in the current session.
        num_clicks: int64[N], of these the clicks.
        num_before: int64[N], actions on the item before the session, as far as they are held.
        steps_back: int64[N], the user's actions since the last one on the item; -1 for none in
            the session.
        seconds_back: int64[N], the same in seconds.
        action: int64[N], kind of the last action on the item in the session, 0 for none.
        touches: int64[N], how it was touched in the session: 1 if clicked, plus 2 if by another
            action of the deployment's list, plus 4 if by one that is not listed.
        dwell_s: int64[N], seconds from each action on the item in the session to the next action.
        is_last: bool[N], whether the session's last action on any item was on this one.
        is_last_clicked: bool[N], whether the session's last click was on this item.
        session_num_actions: int64[B], of the user's session.
        session_num_clicks: int64[B], of the session.
        last_action: int64[B], kind of the session's last action, 0 for none.
    """

    num_in_session: Ints
    num_clicks: Ints
    num_before: Ints
    steps_back: Ints
    seconds_back: Ints
    action: Ints
    touches: Ints
    dwell_s: Ints
    is_last: Bools
    is_last_clicked: Bools
    session_num_actions: Ints
    session_num_clicks: Ints
    last_action: Ints


def standing_of(states: Sequence[UserState], keys: Keys, sizes: Ints, is_click: Bools) -> Standing:
    """Look up N candidates in their users' held actions.

    Few candidates are among them, so the work beyond finding these hardly depends on N.

    Args:
        states: of B users.
        keys: uint64[N] item keys, user after user.
        sizes: int64[B], how many of them are each user's.
        is_click: bool[256], which action codes count as clicks.
    """
    held = _held(states)
    num_held = held.keys_BH.shape[1]
    kinds_BH = np.minimum(held.codes_BH.astype(np.int64) + 1, NUM_ACTIONS - 1)
    clicks_BH = is_click[held.codes_BH] & held.in_session_BH
    owners = np.repeat(np.arange(len(states)), sizes)

    found = _found(keys, sizes, held.keys_BH)
    of = owners[found]
    same = held.keys_BH[of] == keys[found].astype(np.uint32)[:, None]
    same_in_session = same & held.in_session_BH[of]
    num_in_session = same_in_session.sum(axis=1)
    acted = num_in_session > 0
    steps_back = same[:, ::-1].argmax(axis=1) if num_held else num_in_session
    last_at = num_held - 1 - steps_back
    # Few of the held actions are on one of the items: from here on only those.
    item, column = np.nonzero(same_in_session)
    touches = np.zeros(len(found), np.int64)
    np.bitwise_or.at(touches, item, held.touches(clicks_BH, of[item], column))
    dwell_s = np.bincount(item, held.dwell_s(of[item], column), len(found)).astype(np.int64)
    num = len(keys)
    return Standing(
        num_in_session=_spread(num_in_session, found, num),
        num_clicks=_spread((same & clicks_BH[of]).sum(axis=1), found, num),
        num_before=_spread(same.sum(axis=1) - num_in_session, found, num),
        steps_back=_spread(np.where(acted, steps_back, -1), found, num, fill=-1),
        seconds_back=_spread(
            np.where(acted, held.seconds_back(of, last_at), -1), found, num, fill=-1
        ),
        action=_spread(np.where(acted, kinds_BH[of, last_at], NO_ACTION), found, num),
        touches=_spread(touches, found, num),
        dwell_s=_spread(dwell_s, found, num),
        is_last=keys == np.repeat(held.last_keys(held.in_session_BH), sizes),
        is_last_clicked=keys == np.repeat(held.last_keys(clicks_BH), sizes),
        session_num_actions=np.array([state.session_num_actions for state in states], np.int64),
        session_num_clicks=clicks_BH.sum(axis=1),
        last_action=(
            np.where(held.in_session_BH[:, -1], kinds_BH[:, -1], NO_ACTION)
            if num_held
            else np.zeros(len(states), np.int64)
        ),
    )


class _Held(NamedTuple):
    """The held actions of B users in columns of the longest history, the newest at the end."""

    keys_BH: npt.NDArray[np.uint32]
    codes_BH: npt.NDArray[np.uint8]
    gaps_BH: npt.NDArray[np.uint16]
    in_session_BH: Bools

    def seconds_back(self, users: Ints, columns: Ints) -> Ints:
        """Seconds from some actions to their users' last ones."""
        if not len(users):
            return np.empty(0, np.int64)
        to_last_BH = seconds_of_gaps(self.gaps_BH)[:, ::-1].cumsum(axis=1)[:, ::-1]
        seconds: Ints = to_last_BH[users, columns]
        return seconds

    def dwell_s(self, users: Ints, columns: Ints) -> Ints:
        """Seconds from some actions to their users' next ones; none after the last."""
        seconds: Ints = np.minimum(seconds_of_gaps(self.gaps_BH[users, columns]), MAX_DWELL_S)
        return seconds

    def touches(self, clicks_BH: Bools, users: Ints, columns: Ints) -> Ints:
        """The bit of each of some actions, see `Standing.touches`."""
        listed = np.where(self.codes_BH[users, columns] == _UNLISTED, 4, 2)
        bits: Ints = np.where(clicks_BH[users, columns], 1, listed)
        return bits

    def last_keys(self, among_BH: Bools) -> Keys:
        """The item of each user's last one of some actions on any item, 0 without one."""
        if not self.keys_BH.shape[1]:
            return np.zeros(len(self.keys_BH), np.uint64)
        of_items_BH = (self.keys_BH != 0) & among_BH
        columns = self.keys_BH.shape[1] - 1 - of_items_BH[:, ::-1].argmax(axis=1)
        users = np.arange(len(self.keys_BH))
        last = np.where(of_items_BH[users, columns], self.keys_BH[users, columns], 0)
        return last.astype(np.uint64)


def _held(states: Sequence[UserState]) -> _Held:
    columns = [state.actions for state in states]
    num_held = max((one.num for one in columns), default=0)
    shape = len(states), num_held
    in_session = np.array([state.session_num_actions for state in states], np.int64)
    lengths = np.array([one.num for one in columns], np.int64)
    begins = num_held - np.minimum(in_session, lengths)
    return _Held(
        _right_aligned([one.keys for one in columns], "<u4", shape, KEY_BYTES),
        _right_aligned([one.codes for one in columns], "u1", shape, 1),
        # A gap is the time to the next action: behind the last one there is none.
        _right_aligned([one.gaps + bytes(GAP_BYTES) for one in columns], "<u2", shape, GAP_BYTES),
        np.arange(num_held) >= begins[:, None],
    )


def _right_aligned(
    columns: Sequence[bytes], dtype: str, shape: tuple[int, int], width: int
) -> npt.NDArray[Any]:
    num_bytes = shape[1] * width
    padded = b"".join([column[:num_bytes].rjust(num_bytes, b"\0") for column in columns])
    return np.frombuffer(padded, dtype).reshape(shape)


def _found(keys: Keys, sizes: Ints, held_BH: npt.NDArray[np.uint32]) -> Ints:
    """Return the indices of those keys that occur among their user's held ones."""
    if not held_BH.shape[1]:
        return np.empty(0, np.int64)
    small = keys.astype(np.uint32)
    ordered_BH = np.sort(held_BH, axis=1)
    is_found = np.zeros(len(keys), np.bool_)
    start = 0
    for ordered, size in zip(ordered_BH, sizes.tolist(), strict=True):
        asked = small[start : start + size]
        is_found[start : start + size] = (
            ordered.take(ordered.searchsorted(asked), mode="clip") == asked
        )
        start += size
    return np.flatnonzero(is_found)


def _spread(values: Ints, at: Ints, num: int, fill: int = 0) -> Ints:
    """Put values where they belong among `num`."""
    spread = np.full(num, fill, np.int64)
    spread[at] = values
    return spread
