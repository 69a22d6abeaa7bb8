"""Which users has the encoder seen already, with just this history?

A page opens and a list is computed; the impression that follows is featured on the same history,
and in the same context where the application tells one with both.
The encoder is the dearest single step of either, so its answers are kept for the latest users, for
as long as nothing that it sees has changed. An answer is a function of what it sees (but for the
last bits of rounding), so keeping it changes no list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.events import Context, UserId
from featurestore.state import HeldActions, UserState
from models.encoder import SequenceEncoder
from models.encoder_inputs import ActionSequence, gap_buckets, hash_user

MAX_SEQUENCE: Final = 50
"""Actions that the encoder is given at most; a bundle may have been trained on fewer."""
MAX_USERS: Final = 20_000
"""Users whose answers are kept; each takes about a kilobyte."""


class EncodedUser(NamedTuple):
    """What the encoder said of a user.

    Attributes:
        actions: The history that it saw.
        gap: Bucket of the time from the last action to the event that the state ends with.
        contexts: Codes of the context that it was told.
        query_I: float32, the user's vector.
        counter_weight_3: float32, the weights of the counters.
    """

    actions: HeldActions
    gap: int
    contexts: tuple[int, ...]
    query_I: npt.NDArray[np.float32]
    counter_weight_3: npt.NDArray[np.float32]


class EncodedUsers:
    """A bundle's encoder with its latest answers."""

    def __init__(self, encoder: SequenceEncoder, *, max_users: int = MAX_USERS) -> None:
        self._encoder = encoder
        self._max_users = max_users
        self._known: dict[UserId, EncodedUser] = {}

    def encode(
        self, users: Sequence[tuple[UserId, UserState, Context | None]]
    ) -> list[EncodedUser]:
        """Return the encoder's answer for each user; it runs once, for those that changed.

        Args:
            users: Each with the context in which they are asked about: of the event that the list
                is made at, or of an impression. A user may occur several times.
        """
        gaps_s = [_gap_s(state) for _, state, _ in users]
        gaps = gap_buckets(np.array(gaps_s, np.int64)).tolist()
        contexts = [
            self._encoder.side.context_codes(context, state.clock_ms // 1000)
            for _, state, context in users
        ]
        answers: list[EncodedUser | None] = [
            self._answer(user_id, state, gap, codes)
            for (user_id, state, _), gap, codes in zip(users, gaps, contexts, strict=True)
        ]
        missing = [index for index, answer in enumerate(answers) if answer is None]
        if missing:
            encoded = self._encoder.encode(
                [_sequence(*users[index][:2], gaps_s[index], contexts[index]) for index in missing]
            )
            for place, index in enumerate(missing):
                user_id, state, _ = users[index]
                # Copied, so that a kept row does not keep its whole batch.
                answers[index] = self._known[user_id] = EncodedUser(
                    state.actions,
                    gaps[index],
                    contexts[index],
                    encoded.query_BI[place].copy(),
                    encoded.counter_weight_B3[place].copy(),
                )
            while len(self._known) > self._max_users:
                del self._known[next(iter(self._known))]
        return [answer for answer in answers if answer is not None]

    def _answer(
        self, user_id: UserId, state: UserState, gap: int, contexts: tuple[int, ...]
    ) -> EncodedUser | None:
        known = self._known.get(user_id)
        if known is None or (known.gap, known.contexts) != (gap, contexts):
            return None
        return known if known.actions == state.actions else None


def _gap_s(state: UserState) -> int:
    """Seconds from the last action to the event that the state ends with; 0 without actions."""
    if not state.num_actions:
        return 0
    return max(0, state.clock_ms // 1000 - state.last_action_s)


def _sequence(
    user_id: UserId, state: UserState, gap_s: int, contexts: tuple[int, ...]
) -> ActionSequence:
    history = state.history(MAX_SEQUENCE)
    return ActionSequence(
        keys=history.keys,
        actions=history.actions,
        times_s=history.times_s,
        user=hash_user(user_id),
        request_gap_s=gap_s,
        contexts=contexts,
    )
