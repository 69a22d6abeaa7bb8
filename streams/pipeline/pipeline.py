"""What does a chunk of events cause? Events and states in, states, lists and examples out.

This is the whole of the millisecond clock, without a clock, a socket or Faust: the worker calls
it with what it has read from Kafka and Redis, and `headrace evaluate` with what it has read from
a file. The same events, states and models give the same effects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from featurestore.actions import ActionTable
from featurestore.choice_features import ChoiceFeatures
from featurestore.events import Action, Impression, UserId, Visit
from featurestore.fold import FoldRules
from featurestore.lists import RecommendationList
from featurestore.state import UserState
from models.online.retrieval import Query
from streams.examples import EXAMPLES_VERSION, ExamplesRecord, Row
from streams.pipeline.challenging import challenge
from streams.pipeline.choosing import ChoiceFeaturer
from streams.pipeline.chunks import Chunk
from streams.pipeline.folding import FoldedChunk, Step, fold_chunk
from streams.pipeline.list_requests import Listing, ListRequest, Shown, ShownFeatures, Trigger
from streams.pipeline.listing import ListBuilder
from streams.pipeline.live import LiveModels
from streams.pipeline.queries import Asked, queries_of
from streams.pipeline.rows import (
    ItemIndex,
    LearnedContexts,
    action_row,
    choice_row,
    impression_row,
    rival_row,
    slate_row,
    visit_row,
)
from streams.pipeline.stopwatch import Laps
from streams.sections import ContributionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a chunk causes, to be written in this order: record, then states and lists together.

    Attributes:
        states: The new states of its users.
        lists: The lists of the users who triggered one.
        owed: Users who triggered a list that was not built, with their last trigger.
        record: What the learner and the trainer get.
        outcomes: Number of events by kind and outcome.
        listing: How the lists came about, for the metrics.
    """

    states: dict[UserId, UserState]
    lists: dict[UserId, RecommendationList]
    owed: dict[UserId, Trigger]
    record: ExamplesRecord
    outcomes: dict[tuple[str, str], int]
    listing: Listing = field(default_factory=Listing)


class ChunkInput(NamedTuple):
    """A chunk, and what must be known to process it.

    Attributes:
        chunk: Decoded events of one partition.
        states: The states of its users just before it; a user who is missing is new.
        lost_from: Where retention had cut the log before the chunk, or -1.
        wants_lists: False while catching up: then only the lists whose candidates are logged are
            computed, and every user who triggered one is owed it.
    """

    chunk: Chunk
    states: Mapping[UserId, UserState]
    lost_from: int
    wants_lists: bool

    @property
    def num_events(self) -> int:
        """Events of the chunk."""
        return len(self.chunk.events)


class Pipeline:
    """The rules by which events have effects; holds no state of any user."""

    def __init__(
        self,
        *,
        table: ActionTable,
        rules: FoldRules,
        choices: ChoiceFeaturer | None,
        builder: ListBuilder,
        contexts: LearnedContexts,
        contribution: ContributionConfig,
        layout_digest: str,
        config_digest: str,
    ) -> None:
        """Compose the rules.

        Args:
            table: The kinds of action.
            rules: Of the fold.
            choices: What the choice head sees; None where it is not in use.
            builder: Of lists.
            contexts: What the examples keep of events' contexts.
            contribution: How much of one user counts.
            layout_digest: Of all features, written into every record.
            config_digest: Of the configuration, likewise.
        """
        self._table = table
        self._rules = rules
        self._choices = choices
        self._builder = builder
        self._contexts = contexts
        self._contribution = contribution
        self._layout_digest = layout_digest
        self._config_digest = config_digest

    @property
    def fold_version(self) -> str:
        """What a checkpoint names, so that states of other rules are never gone on with."""
        return self._rules.version

    def process(
        self,
        chunk: Chunk,
        states: Mapping[UserId, UserState],
        live: LiveModels,
        *,
        topic_id: str,
        lost_from: int,
        wants_lists: bool,
        computed_at_ms: int,
        laps: Laps,
    ) -> Effects:
        """Return what one chunk causes; see `ChunkInput` and `process_all`."""
        (effects,) = self.process_all(
            [ChunkInput(chunk, states, lost_from, wants_lists)],
            live,
            topic_id=topic_id,
            computed_at_ms=computed_at_ms,
            laps=laps,
        )
        return effects

    def process_all(
        self,
        chunks: Sequence[ChunkInput],
        live: LiveModels,
        *,
        topic_id: str,
        computed_at_ms: int,
        laps: Laps,
    ) -> list[Effects]:
        """Return what each chunk causes, whatever it is computed together with.

        Args:
            chunks: Of different partitions, so of different users.
            live: The models.
            topic_id: Of `events`.
            computed_at_ms: The wall clock, written into lists.
            laps: Takes the time of each stage.
        """
        rules, num = self._rules, live.online.num_previous
        folded = [fold_chunk(one.chunk.events, one.states, rules, num) for one in chunks]
        laps.lap("fold")
        shown = [_shown(one) for one in folded]
        wanted = [self._wanted(*one) for one in zip(chunks, folded, strict=True)]
        all_shown = [step for steps in shown for step, _ in steps]
        asked = [
            *map(_asked_when_shown, all_shown),
            *(request.asked() for requests in wanted for request in requests),
        ]
        queries = self._queries(asked, live)
        laps.lap("encode")
        num_shown = len(all_shown)
        built = self._builder.build(
            wanted,
            queries[num_shown:],
            live,
            beside=Shown(
                asked[:num_shown],
                [event for steps in shown for _, event in steps],
                queries[:num_shown],
            ),
            computed_at_ms=computed_at_ms,
            laps=laps,
        )
        if live.challenger is not None:
            challenge(wanted, built.listings, self._builder, self._queries, live)
            laps.lap("challenge")
        of_offset = _by_offset(shown, built.features)
        effects = [
            self._effects(*one, live, topic_id)
            for one in zip(chunks, folded, of_offset, built.listings, strict=True)
        ]
        laps.lap("rows")
        return effects

    def _wanted(self, one: ChunkInput, folded: FoldedChunk) -> list[ListRequest]:
        partition, triggers = one.chunk.partition, folded.triggers
        if not one.wants_lists:
            is_sampled = self._builder.is_sampled
            triggers = [
                step
                for step in triggers
                if is_sampled(step.event.user_id, partition, step.record.offset)
            ]
        return [_request(partition, step) for step in triggers]

    def _effects(
        self,
        one: ChunkInput,
        folded: FoldedChunk,
        features: Mapping[int, ShownFeatures],
        listing: Listing,
        live: LiveModels,
        topic_id: str,
    ) -> Effects:
        chunk = one.chunk
        choices = {} if self._choices is None else self._choices.of_actions(folded.steps, live)
        items, rows = self._rows(folded, features, choices, listing)
        record = ExamplesRecord(
            version=EXAMPLES_VERSION,
            topic_id=topic_id,
            partition=chunk.partition,
            from_offset=chunk.from_offset,
            to_offset=chunk.to_offset,
            lost_from=one.lost_from,
            replica_offset=live.online.offset,
            layout=self._layout_digest,
            bundle=live.bundle or "",
            config=self._config_digest,
            items=items,
            rows=rows,
        )
        return Effects(
            states=folded.states,
            lists={made.user_id: made for made in listing.lists} if one.wants_lists else {},
            owed={} if one.wants_lists else _owed(folded.triggers),
            record=record,
            outcomes=folded.outcomes,
            listing=listing,
        )

    def lists_at(
        self,
        offset: int,
        partition: int,
        users: Mapping[UserId, tuple[UserState, Trigger]],
        live: LiveModels,
        *,
        computed_at_ms: int,
        laps: Laps,
    ) -> Listing:
        """Return lists for users whose events were folded without.

        Args:
            offset: Up to which all events of the partition are in the states.
            partition: Of `events`.
            users: Their states, and their last triggers.
            live: The models.
            computed_at_ms: The wall clock, written into lists.
            laps: Takes the time of each stage.
        """
        requests = [
            ListRequest(user_id, state, partition, offset, trigger)
            for user_id, (state, trigger) in users.items()
        ]
        queries = self._queries([one.asked() for one in requests], live)
        laps.lap("encode")
        return self._builder.build(
            [requests], queries, live, computed_at_ms=computed_at_ms, laps=laps
        ).listings[0]

    def _queries(self, asked: Sequence[Asked], live: LiveModels) -> list[Query]:
        num = live.online.num_previous
        return queries_of(asked, live, table=self._table, num_previous=num)

    def _rows(
        self,
        folded: FoldedChunk,
        features: Mapping[int, ShownFeatures],
        choices: Mapping[int, ChoiceFeatures],
        listing: Listing,
    ) -> tuple[list[str], list[Row]]:
        """The rows of a chunk in the order of their offsets; slates follow their trigger."""
        items = ItemIndex()
        rows: list[Row] = []
        for step in folded.steps:
            offset, event = step.record.offset, step.event
            match event:
                case Impression():
                    rows.append(
                        impression_row(step, event, features[offset], self._contribution, items)
                    )
                case Action():
                    rows.append(
                        action_row(
                            step, event, self._table, self._contexts, self._contribution, items
                        )
                    )
                    if (choice := choices.get(offset)) is not None:
                        rows.append(choice_row(step, choice))
                case Visit():
                    rows.append(visit_row(step, self._contexts))
            if (slate := listing.slates.get(offset)) is not None:
                rows.append(slate_row(step, slate, items))
            if (rivals := listing.rivals.get(offset)) is not None:
                rows.append(rival_row(step, rivals, items))
        return items.items(), rows


def _shown(folded: FoldedChunk) -> list[tuple[Step, Impression]]:
    return [(step, step.event) for step in folded.steps if isinstance(step.event, Impression)]


def _by_offset(
    shown: Sequence[Sequence[tuple[Step, Impression]]], features: Sequence[ShownFeatures]
) -> list[dict[int, ShownFeatures]]:
    """The features of each chunk's impressions, by offset."""
    following = iter(features)
    return [{step.record.offset: next(following) for step, _ in steps} for steps in shown]


def _request(partition: int, step: Step) -> ListRequest:
    return ListRequest(
        step.event.user_id, step.after, partition, step.record.offset, _trigger(step)
    )


def _owed(triggers: Sequence[Step]) -> dict[UserId, Trigger]:
    return {step.event.user_id: _trigger(step) for step in triggers}


def _trigger(step: Step) -> Trigger:
    return Trigger(step.event.event_id, step.event.context)


def _asked_when_shown(step: Step) -> Asked:
    """An impression is featured on the state before it, at its own time."""
    return Asked(step.event.user_id, step.before, step.clock_ms, step.event.context)
