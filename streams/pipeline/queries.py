"""What may the sources know about a user at a moment, and no more?

A query is made of the user's state, of the event's context and of the models. No model is told the
time of the event that will be evaluated: `now_ms`, which may be its, serves counters' decay and
item ages alone. Models are told the state's clock, the time of the event that the state ends with,
and the encoder's gap is the time from the user's last action to that event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from featurestore.actions import ActionTable
from featurestore.events import Context, UserId
from featurestore.state import UserState
from models.encoder_inputs import ActionSequence, hash_user
from models.online.context_popularity import circumstances
from models.online.retrieval import Query
from streams.pipeline.encoded_users import EncodedUser
from streams.pipeline.live import LiveModels


class Asked(NamedTuple):
    """One moment of one user.

    Attributes:
        user_id: Whose.
        state: What is known of the user then.
        now_ms: Event time, not before the state's clock.
        context: Of the event, if it had one.
    """

    user_id: UserId
    state: UserState
    now_ms: int
    context: Context | None


def queries_of(
    asked: Sequence[Asked], live: LiveModels, *, table: ActionTable, num_previous: int
) -> list[Query]:
    """Return one query for each moment; the encoder runs once, for those it must.

    Args:
        asked: The moments.
        live: The models.
        table: Which actions are positive.
        num_previous: How many of the user's last positive items the sources see.
    """
    vocabulary, contexts = live.online.vocabulary, live.online.contexts
    encoded: Sequence[EncodedUser | None] = [None] * len(asked)
    if live.encoded is not None:
        encoded = live.encoded.encode([(one.user_id, one.state, one.context) for one in asked])
    queries = []
    for one, seen in zip(asked, encoded, strict=True):
        previous = one.state.previous_positive_keys(num_previous, table)
        queries.append(
            Query(
                now_ms=one.now_ms,
                clock_ms=one.state.clock_ms,
                previous=[vocabulary.code(key) for key in previous],
                context=one.context,
                context_rows=contexts.rows(
                    circumstances(one.context, one.state.session_num_actions)
                ),
                session_num_actions=one.state.session_num_actions,
                user_vector=None if seen is None else seen.query_I,
                counter_weights=None if seen is None else seen.counter_weight_3,
                positives=_positives(one, table) if live.asks_sequences else None,
            )
        )
    return queries


def _positives(one: Asked, table: ActionTable) -> ActionSequence:
    """Return all positive actions that the state holds."""
    history = one.state.history(one.state.num_actions)
    is_positive = np.isin(history.actions, list(table.positive_codes))
    return ActionSequence(
        keys=history.keys[is_positive],
        actions=history.actions[is_positive],
        times_s=history.times_s[is_positive],
        user=hash_user(one.user_id),
    )
