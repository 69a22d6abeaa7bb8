"""Which numbers does the user encoder see?

Serving (`models.encoder`) and training (`models.transformer`) both take their token codes from
here, so that they cannot drift apart. No torch, no ONNX Runtime.

Sequences begin with a token that stands for "nothing known before" where they are not truncated;
users without any action have that token alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

NUM_GAP_BUCKETS: Final = 42
"""Two buckets for each doubling of seconds up to 12 days, and one for "no earlier action"."""

NO_GAP: Final = NUM_GAP_BUCKETS - 1
NOW: Final = 0
"""The request gap's bucket where the list is computed at the user's last action."""

NUM_ACTIONS: Final = 32
"""Action codes from here on count as 0, "other"."""

START_ACTION: Final = NUM_ACTIONS
"""The action code of the start token."""

# A float32 holds whole seconds exactly up to here (194 days).
_MAX_TIME_S: Final = 2**24


def hash_user(user_id: str) -> int:
    """Return the 64-bit key under which histories and encoders know a user."""
    return int.from_bytes(hashlib.blake2b(user_id.encode(), digest_size=8).digest(), "big")


def user_buckets(user_B: npt.NDArray[np.uint64], num_buckets: int) -> npt.NDArray[np.int64]:
    """Return the embedding row of each hashed user."""
    return (user_B % np.uint64(num_buckets)).astype(np.int64)


def gap_buckets(gaps_s: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the logarithmic bucket of each gap in seconds; negative gaps count as 0.

    >>> gap_buckets(np.array([-5, 0, 1, 30, 3600, 10**9])).tolist()
    [0, 0, 2, 9, 23, 40]
    """
    halves: npt.NDArray[np.int64] = (2 * np.log2(1 + np.maximum(gaps_s, 0))).astype(np.int64)
    return np.minimum(halves, NO_GAP - 1)


def action_codes(actions: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the embedding row of each action code."""
    codes = actions.astype(np.int64)
    codes[codes >= NUM_ACTIONS] = 0
    return codes


def relative_times(times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return seconds since each row's first token, `[B, L]`, exact in float32."""
    since_first = times_s - times_s[:, :1]
    return since_first.clip(0, _MAX_TIME_S).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSequence:
    """What one user has done, oldest first; the three arrays have one length, which may be 0.

    Attributes:
        keys: item key of each action, 0 for none; uint64.
        actions: action code of each action; uint8.
        times_s: user clock of each action, seconds since the epoch; int64.
        user: `hash_user` of the user id.
        request_gap_s: seconds from the last action to the visit that caused the list; 0 where the
            last action itself caused it. Never the time until now: see `models.encoder`.
        contexts: of the event that caused the list, as `SideFeatures.context_codes`; may be empty.
    """

    keys: npt.NDArray[np.uint64]
    actions: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.int64]
    user: int
    request_gap_s: int = 0
    contexts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderInputs:
    """Token codes of a batch, right padded; B sequences, L tokens.

    Attributes:
        item_BL: row of each token's item in the item matrix, 0 for none or unknown; int64.
        action_BL: action code, `START_ACTION` for the start token; int64.
        gap_BL: bucket of the gap since the token before; int64.
        time_BL: seconds since the first token; float32.
        user_B: `hash_user` of each user; uint64.
        length_B: number of tokens, at least 1; int64.
        request_gap_B: bucket of the request gap; int64.
    """

    item_BL: npt.NDArray[np.int64]
    action_BL: npt.NDArray[np.int64]
    gap_BL: npt.NDArray[np.int64]
    time_BL: npt.NDArray[np.float32]
    user_B: npt.NDArray[np.uint64]
    length_B: npt.NDArray[np.int64]
    request_gap_B: npt.NDArray[np.int64]


def token_codes(
    item_BL: npt.NDArray[np.int64],
    action_BL: npt.NDArray[np.uint8],
    time_BL: npt.NDArray[np.int64],
    start_B: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return `(action_BL, gap_BL, time_BL)` as the network takes them.

    Args:
        item_BL: item rows; the start token's is set to 0, in place.
        action_BL: action codes as logged.
        time_BL: user clocks in seconds; where a start token leads, its time is set to the first
            action's, in place.
        start_B: whether the sequence begins with the start token.
    """
    codes_BL = action_codes(action_BL)
    codes_BL[start_B, 0] = START_ACTION
    item_BL[start_B, 0] = 0
    gap_BL = np.full(time_BL.shape, NO_GAP, np.int64)
    gap_BL[:, 1:] = gap_buckets(time_BL[:, 1:] - time_BL[:, :-1])
    if time_BL.shape[1] > 1:
        gap_BL[start_B, 1] = NO_GAP
        time_BL[start_B, 0] = time_BL[start_B, 1]
    return codes_BL, gap_BL, relative_times(time_BL)


def encoder_inputs(
    batch: Sequence[ActionSequence],
    *,
    length: int,
    sorted_keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int64],
) -> EncoderInputs:
    """Return the token codes of a batch of users, of the newest `length` tokens each.

    Args:
        batch: at least one user.
        length: most tokens of a sequence.
        sorted_keys: the known item keys, ascending.
        rows: row of the item matrix of each of them, 1 or more.
    """
    num_actions_B = np.array([len(sequence.keys) for sequence in batch])
    length_B = np.minimum(num_actions_B + 1, length)
    start_B = num_actions_B < length
    shape = (len(batch), int(length_B.max()))
    key_BL = np.zeros(shape, np.uint64)
    action_BL = np.zeros(shape, np.uint8)
    raw_time_BL = np.zeros(shape, np.int64)
    for index, (sequence, num_tokens) in enumerate(zip(batch, length_B.tolist(), strict=True)):
        newest = slice(max(len(sequence.keys) - num_tokens, 0), None)
        places = slice(1 if len(sequence.keys) < length else 0, num_tokens)
        key_BL[index, places] = sequence.keys[newest]
        action_BL[index, places] = sequence.actions[newest]
        raw_time_BL[index, places] = sequence.times_s[newest]
    item_BL = _rows_of(key_BL, sorted_keys, rows)
    codes_BL, gap_BL, time_BL = token_codes(item_BL, action_BL, raw_time_BL, start_B)
    request_gap_B = gap_buckets(np.array([sequence.request_gap_s for sequence in batch]))
    request_gap_B[num_actions_B == 0] = NO_GAP
    return EncoderInputs(
        item_BL=item_BL,
        action_BL=codes_BL,
        gap_BL=gap_BL,
        time_BL=time_BL,
        user_B=np.array([sequence.user for sequence in batch], np.uint64),
        length_B=length_B,
        request_gap_B=request_gap_B,
    )


def _rows_of(
    key_BL: npt.NDArray[np.uint64],
    sorted_keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    if not len(sorted_keys):
        return np.zeros(key_BL.shape, np.int64)
    place_BL = np.minimum(np.searchsorted(sorted_keys, key_BL), len(sorted_keys) - 1)
    return np.where(sorted_keys[place_BL] == key_BL, rows[place_BL], 0)
