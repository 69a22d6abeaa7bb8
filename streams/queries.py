"""What may the sources know about a user at a moment, and no more?

A query is made of the user's state, of the event's context and of the models. The time of the
event that will be evaluated is not in it: `now_ms` is the time of the event that the state ends
with, and the encoder's gap is the time from the user's last action to that event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from featurestore.actions import ActionTable
from featurestore.events import Context, UserId
from featurestore.state import UserState
from models.context_popularity import circumstances
from models.encoder_inputs import ActionSequence, hash_user
from models.retrieval import Query
from streams.live import LiveModels

MAX_SEQUENCE: Final = 50
"""Actions that the encoder is given at most; a bundle may have been trained on fewer."""


class Asked(NamedTuple):
    """One moment of one user.

    Attributes:
        user_id: Whose.
        state: What is known of the user then.
        now_ms: The user's clock then.
        context: Of the event, if it had one.
    """

    user_id: UserId
    state: UserState
    now_ms: int
    context: Context | None


def queries_of(
    asked: Sequence[Asked], live: LiveModels, *, table: ActionTable, num_previous: int
) -> list[Query]:
    """Return one query for each moment; the encoder runs once for all of them.

    Args:
        asked: The moments.
        live: The models.
        table: Which actions are positive.
        num_previous: How many of the user's last positive items the sources see.
    """
    vocabulary, contexts = live.online.vocabulary, live.online.contexts
    encoded = None
    if live.encoder is not None and asked:
        encoded = live.encoder.encode([_sequence(one) for one in asked])
    queries = []
    for index, one in enumerate(asked):
        previous = one.state.previous_positive_keys(num_previous, table)
        queries.append(
            Query(
                now_ms=one.now_ms,
                previous=[vocabulary.code(key) for key in previous],
                context_rows=contexts.rows(
                    circumstances(one.context, one.state.session_num_actions)
                ),
                session_num_actions=one.state.session_num_actions,
                user_vector=None if encoded is None else encoded.query_BI[index],
                counter_weights=None if encoded is None else encoded.counter_weight_B3[index],
            )
        )
    return queries


def _sequence(asked: Asked) -> ActionSequence:
    history = asked.state.history(MAX_SEQUENCE)
    gap_s = asked.state.clock_ms // 1000 - int(history.times_s[-1]) if len(history.keys) else 0
    return ActionSequence(
        keys=history.keys,
        actions=history.actions,
        times_s=history.times_s,
        user=hash_user(asked.user_id),
        request_gap_s=max(0, gap_s),
    )
