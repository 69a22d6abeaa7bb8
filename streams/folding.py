"""What does a chunk of events make of its users' states, and what is to be seen on the way?

The fold is the only thing that changes a user. Rows of `examples` are featured on the state just
before their event, and a list is built from the state just after the user's last trigger of the
chunk (an action or a visit), so both are kept as they pass by: states are immutable, keeping one
costs a pointer. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from featurestore.events import Action, Event, Impression, UserId, Visit
from featurestore.fold import FoldRules, Outcome, fold
from featurestore.state import EMPTY_STATE, UserState
from streams.decoding import DecodedEvent
from streams.engine import Record


class Step(msgspec.Struct, frozen=True, gc=False):
    """One event that counted, with its user's state before and after it."""

    record: Record
    event: Event
    before: UserState
    after: UserState


@dataclass(frozen=True, slots=True)
class FoldedChunk:
    """A chunk after its fold.

    Attributes:
        states: The new state of every user who has one.
        steps: The events that counted, in offset order; repeated deliveries are not among them.
        triggers: Each user's last action or visit, in the order of their offsets.
        outcomes: Number of events by kind (`impression`, …) and outcome.
    """

    states: dict[UserId, UserState]
    steps: list[Step]
    triggers: list[Step]
    outcomes: dict[tuple[str, str], int]


def fold_chunk(
    events: Sequence[DecodedEvent], states: Mapping[UserId, UserState], rules: FoldRules
) -> FoldedChunk:
    """Fold events of one partition into their users' states.

    Args:
        events: In offset order.
        states: The states of their users; a user who is missing is new.
        rules: Of the fold.
    """
    current: dict[UserId, UserState] = {}
    steps: list[Step] = []
    triggers: dict[UserId, Step] = {}
    outcomes: dict[tuple[str, str], int] = {}
    for decoded in events:
        event = decoded.event
        user_id = event.user_id
        before = current.get(user_id) or states.get(user_id, EMPTY_STATE)
        folded = fold(before, event, rules)
        after, outcome = folded.state, folded.outcome
        counted = KINDS[type(event)], outcome
        outcomes[counted] = outcomes.get(counted, 0) + 1
        if outcome is Outcome.DUPLICATE:
            continue
        current[user_id] = after
        step = Step(decoded.record, event, before, after)
        steps.append(step)
        if not isinstance(event, Impression):
            # Popped first, so that the users stand in the order of their last triggers.
            triggers.pop(user_id, None)
            triggers[user_id] = step
    return FoldedChunk(current, steps, list(triggers.values()), outcomes)


KINDS: Final[Mapping[type[Event], str]] = {
    Action: "action",
    Impression: "impression",
    Visit: "visit",
}
"""What metrics call an event's type."""
