"""What does a chunk of events make of its users' states, and what is to be seen on the way?

The fold is the only thing that changes a user. Rows of `examples` are featured on the state just
before their event, and a list is built from the state just after the user's last trigger of the
chunk (an action or a visit), so both are kept as they pass by: states are immutable, keeping one
costs a pointer. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from featurestore.actions import ActionTable, Effect
from featurestore.events import Action, Event, Impression, UserId, Visit
from featurestore.fold import FoldRules, Outcome, fold
from featurestore.state import EMPTY_STATE, UserState
from streams.engine import Record
from streams.pipeline.decoding import DecodedEvent

# Bound for the loop: asking a class of the enum module for a member costs a call.
_OK: Final = Outcome.OK
_DUPLICATE: Final = Outcome.DUPLICATE
_POSITIVE: Final = Effect.POSITIVE


class Step(msgspec.Struct, frozen=True, gc=False):
    """One event that counted.

    What its row says of the states is read here, while the fold has them in the processor's cache.

    Attributes:
        record: That carried it.
        event: What happened.
        before: The user's state just before.
        after: And just after.
        clock_ms: The user's clock after it.
        session_num_actions: Actions of its session, itself included.
        previous: Keys of the items of the last positive actions before a positive one, the latest
            first; empty for other events.
    """

    record: Record
    event: Event
    before: UserState
    after: UserState
    clock_ms: int
    session_num_actions: int
    previous: Sequence[int]


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
    events: Sequence[DecodedEvent],
    states: Mapping[UserId, UserState],
    rules: FoldRules,
    num_previous: int,
) -> FoldedChunk:
    """Fold events of one partition into their users' states.

    Args:
        events: In offset order.
        states: The states of their users; a user who is missing is new.
        rules: Of the fold.
        num_previous: How many preceding positive items an action names.
    """
    current: dict[UserId, UserState] = {}
    steps: list[Step] = []
    triggers: dict[UserId, Step] = {}
    num_events = Counter([type(decoded.event) for decoded in events])
    others: Counter[tuple[type[Event], Outcome]] = Counter()
    for decoded in events:
        event = decoded.event
        user_id = event.user_id
        before = current.get(user_id) or states.get(user_id, EMPTY_STATE)
        previous = _previous(before, event, rules.table, num_previous)
        folded = fold(before, event, rules)
        if (outcome := folded.outcome) is not _OK:
            others[type(event), outcome] += 1
            if outcome is _DUPLICATE:
                continue
        current[user_id] = after = folded.state
        step = Step(
            decoded.record,
            event,
            before,
            after,
            folded.clock_ms,
            folded.session_num_actions,
            previous,
        )
        steps.append(step)
        if not isinstance(event, Impression):
            # Popped first, so that the users stand in the order of their last triggers.
            triggers.pop(user_id, None)
            triggers[user_id] = step
    return FoldedChunk(current, steps, list(triggers.values()), _outcomes(num_events, others))


def _previous(
    before: UserState, event: Event, table: ActionTable, num_previous: int
) -> Sequence[int]:
    if not isinstance(event, Action) or event.item_id is None:
        return ()
    if table.spec(event.action).effect is not _POSITIVE:
        return ()
    return before.previous_positive_keys(num_previous, table)


def _outcomes(
    num_events: Mapping[type[Event], int], others: Mapping[tuple[type[Event], Outcome], int]
) -> dict[tuple[str, str], int]:
    """Return the numbers by kind and outcome, from those of all and of what was not `ok`."""
    outcomes = {(KINDS[kind], str(outcome)): num for (kind, outcome), num in others.items()}
    for kind, num in num_events.items():
        num_ok = num - sum(other for (of, _), other in others.items() if of is kind)
        if num_ok:
            outcomes[KINDS[kind], str(Outcome.OK)] = num_ok
    return outcomes


KINDS: Final[Mapping[type[Event], str]] = {
    Action: "action",
    Impression: "impression",
    Visit: "visit",
}
"""What metrics call an event's type."""
