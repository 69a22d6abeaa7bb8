"""What does one chunk of events cause? Events and states in, states, lists and examples out.

This is the whole of the millisecond clock, without a clock, a socket or Faust: the worker calls
it with what it has read from Kafka and Redis, and `headrace evaluate` with what it has read from
a file. The same events, states and models give the same effects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from featurestore.actions import ActionTable
from featurestore.events import Action, UserId, Visit
from featurestore.lists import RecommendationList
from featurestore.state import FoldRules, UserState
from streams.chunks import Chunk
from streams.examples import EXAMPLES_VERSION, ExamplesRecord, Row
from streams.folding import fold_chunk
from streams.rows import ItemIndex, action_row, visit_row
from streams.stopwatch import Laps


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a chunk causes, to be written in this order: record, then states and lists together.

    Attributes:
        states: The new states of its users.
        lists: The lists of the users who triggered one.
        record: What the learner and the trainer get.
        outcomes: Number of events by kind and outcome.
    """

    states: dict[UserId, UserState]
    lists: dict[UserId, RecommendationList]
    record: ExamplesRecord
    outcomes: Counter[tuple[str, str]]


class Pipeline:
    """The rules by which events have effects; holds no state of any user."""

    def __init__(self, *, table: ActionTable, rules: FoldRules, config_digest: str) -> None:
        self._table = table
        self._rules = rules
        self._config_digest = config_digest

    @property
    def fold_version(self) -> str:
        """What a checkpoint names, so that states of other rules are never gone on with."""
        return self._rules.version

    def process(
        self,
        chunk: Chunk,
        states: Mapping[UserId, UserState],
        *,
        topic_id: str,
        lost_from: int,
        computed_at_ms: int,
        laps: Laps,
    ) -> Effects:
        """Return what the chunk causes.

        Args:
            chunk: Decoded events of one partition.
            states: The states of its users just before it; a user who is missing is new.
            topic_id: Of `events`.
            lost_from: Where retention had cut the log before the chunk, or -1.
            computed_at_ms: The wall clock, written into lists.
            laps: Takes the time of each stage.
        """
        folded = fold_chunk(chunk.events, states, self._rules)
        laps.lap("fold")
        items = ItemIndex()
        rows: list[Row] = []
        for step in folded.steps:
            event = step.event
            if isinstance(event, Action):
                rows.append(action_row(step, event, self._table, items))
            elif isinstance(event, Visit):
                rows.append(visit_row(step))
        record = ExamplesRecord(
            version=EXAMPLES_VERSION,
            topic_id=topic_id,
            partition=chunk.partition,
            from_offset=chunk.from_offset,
            to_offset=chunk.to_offset,
            lost_from=lost_from,
            replica_offset=0,
            layout="",
            bundle="",
            config=self._config_digest,
            items=items.items(),
            rows=rows,
        )
        return Effects(states=folded.states, lists={}, record=record, outcomes=folded.outcomes)
