"""What does the learner make of one record of `examples`?

`LearnerFold` is the whole learner without its surroundings: which rows are new, which clicks belong
to which slates, what is learned from them and in which order. It is a pure fold of the records:
weights and counters depend on nothing else, however the events were cut into chunks and however
often a chunk was repeated.

A restart goes on from a base: the tables at its offset, and a mark at or before the oldest record
whose slate was then open. From the mark up to the base's offset the records are joined again
without learning, which restores the open slates; from there on they are learned.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from featurestore.lists import EXPLORED
from models.online.online_models import OnlineModels
from streams.examples import (
    NO_ITEM,
    ActionRow,
    ChoiceRow,
    ExamplesRecord,
    ImpressionRow,
    RivalRow,
    SlateRow,
    VisitRow,
)
from streams.join_outcome import JoinOutcome
from streams.learner.attribution import (
    Attribution,
    ClosedSlate,
    ShownSlate,
)
from streams.learner.next_slates import (
    CandidateSlate,
    ClosedCandidates,
    NextOutcome,
    NextSlates,
)
from streams.learner.open_slates import PartitionKey
from streams.learner.refill import META_VERSION, LayoutMismatch, LearnerMeta, Mark, RefillMarks
from streams.learner.rivals import Compared, RivalSlate, RivalSlates
from streams.learner.teaching import Teacher
from streams.partition_clock import ClockConfig
from streams.sections import AttributionConfig
from streams.source_partitions import NewPart, SourcePartitions

_OUR_LIST: Final = re.compile(rf"\d+-\d+({EXPLORED})?")


@dataclass(slots=True, kw_only=True)
class LearnEffects:
    """What a record led to, for the metrics.

    Attributes:
        is_new: Whether anything of the record had not been taken before.
        is_learned: Whether it was learned, and not only joined again after a restart.
        num_lost: Source events that retention had removed before they were read.
        closed: Shown slates whose answer became final, evicted ones included.
        joins: Slates and label actions by fate.
        next_joins: Slates of candidates by fate.
        compared: Actions that tell the bundle in use from the one that challenges it.
    """

    is_new: bool = False
    is_learned: bool = False
    num_lost: int = 0
    closed: list[ClosedSlate] = field(default_factory=list)
    joins: Counter[JoinOutcome] = field(default_factory=Counter)
    next_joins: Counter[NextOutcome] = field(default_factory=Counter)
    compared: list[Compared] = field(default_factory=list)


class LearnerFold:
    """The learner's fold over `examples`; `online` is changed by it and by nothing else."""

    def __init__(
        self, online: OnlineModels, config: AttributionConfig, *, layout: str, topic_id: str = ""
    ) -> None:
        """Begin with nothing learned.

        Args:
            online: Untrained, or to be restored to the base that `restore` is given.
            config: Of the join.
            layout: Digest of the feature layout and source names.
            topic_id: Of the `examples` topic; offsets of another one mean nothing here.
        """
        self._online = online
        self._teacher = Teacher(online)
        self._window_ms = config.window_ms
        self._names_all_lists = config.names_all_lists
        self._layout = layout
        self._topic_id = topic_id
        clocks = ClockConfig(
            max_jump_ms=config.max_clock_jump_ms, num_jump_users=config.clock_confirming_users
        )
        self._sources = SourcePartitions(clocks)
        self._shown = Attribution(config)
        self._next = NextSlates(config)
        self._rivals = RivalSlates(config)
        self._marks = RefillMarks(Mark(0, ()))
        self._restored: LearnerMeta | None = None
        self._learn_from = 0
        self.next_offset = 0
        """Offset in `examples` of the record that is expected next."""

    @property
    def is_refilling(self) -> bool:
        """Whether records are joined again that had been learned before the restart."""
        return self.next_offset < self._learn_from

    @property
    def num_open_slates(self) -> int:
        """Shown slates that wait for their answer."""
        return self._shown.num_open

    def restore(self, meta: LearnerMeta) -> None:
        """Go on from a base, to whose tables `online` has been restored.

        The next record to fold is the one at `next_offset`.

        Raises:
            LayoutMismatch: The base was made under another feature layout.
            ValueError: It is of another version or of another `examples` topic.
        """
        if meta.version != META_VERSION or meta.topic_id != self._topic_id:
            raise ValueError(
                f"found a base of version {meta.version} for examples topic {meta.topic_id!r}, "
                f"expected version {META_VERSION} and {self._topic_id!r}: the topic was deleted "
                "and created again, or another release wrote it. Delete the learner's base "
                "(redis-cli DEL learner:base learner:deltas) to learn from what the topic has"
            )
        self._check_layout(meta.layout, "the base")
        self._sources.restore(meta.join_sources)
        self._marks = RefillMarks(Mark(meta.join_from, meta.join_sources))
        self._restored = meta
        self._learn_from = meta.offset
        self.next_offset = meta.join_from

    def meta(self) -> LearnerMeta:
        """Return what a base at this point needs beside the tables' snapshot."""
        if self._restored is not None and self.is_refilling:
            return self._restored
        oldest = self._oldest_record()
        now = Mark(self.next_offset, self._sources.mark())
        mark = now if oldest is None else self._marks.before(oldest)
        return LearnerMeta(
            version=META_VERSION,
            topic_id=self._topic_id,
            layout=self._layout,
            offset=self.next_offset,
            sources=now.sources,
            join_from=mark.offset,
            join_sources=mark.sources,
        )

    def fold(self, record: ExamplesRecord, offset: int) -> LearnEffects:
        """Take the record at `offset` of `examples` in.

        Raises:
            GapInExamples: Source offsets are missing; nothing can be learned any more.
            LayoutMismatch: The rows' feature numbers mean something else here.
        """
        effects = LearnEffects()
        if offset < self.next_offset:
            return effects
        self._notice_loss(offset)
        self._marks.keep(offset, self._sources, self._oldest_record)
        learning = offset >= self._learn_from
        self._settle(self._shown.give_up(offset), effects, learning=learning)
        self._settle_next(self._next.give_up(offset), effects, learning=learning)
        new = self._sources.accept(record)
        if new is not None:
            self._check_layout(record.layout, f"record {offset} of examples")
            effects.is_new, effects.is_learned, effects.num_lost = True, learning, new.num_lost
            self._fold_rows(new, offset, effects, learning=learning)
        self.next_offset = offset + 1
        if learning:
            self._online.advance(self.next_offset)
        return effects

    def flush(self) -> LearnEffects:
        """Close every open slate: the log has ended, and no click can come."""
        effects = LearnEffects(is_learned=True)
        self._settle(self._shown.flush(), effects, learning=True)
        return effects

    def _fold_rows(
        self, new: NewPart, offset: int, effects: LearnEffects, *, learning: bool
    ) -> None:
        items, partition, clock = new.record.items, new.partition, new.clock
        for row in new.record.rows:
            event_ms = clock.advance(row.ts_ms, row.user_id)
            now_ms = clock.now_ms
            self._expire(partition, now_ms, effects, learning=learning)
            match row:
                case ActionRow():
                    item_id = None if row.item == NO_ITEM else items[row.item]
                    self._act(row, item_id, partition, (event_ms, now_ms), effects, learning)
                case ImpressionRow():
                    shown = ShownSlate(
                        partition=partition,
                        record_offset=offset,
                        shown_at_ms=event_ms,
                        deadline_ms=now_ms + self._window_ms,
                        row=row,
                        items=tuple([items[index] for index in row.items]),
                        predicted=self._teacher.predicted(row) if learning else None,
                    )
                    self._show(shown, effects, learning=learning)
                case SlateRow():
                    candidates = CandidateSlate(
                        partition=partition,
                        record_offset=offset,
                        deadline_ms=now_ms + self._window_ms,
                        row=row,
                        items=tuple([items[index] for index in row.items]),
                    )
                    self._settle_next(self._next.open(candidates), effects, learning=learning)
                case RivalRow():
                    rivals = RivalSlate(
                        partition=partition,
                        record_offset=offset,
                        deadline_ms=now_ms + self._window_ms,
                        bundle=new.record.bundle,
                        row=row,
                        # Not the record's: one slate must not keep all of its items.
                        items={index: items[index] for index in (*row.items, *row.listed)}
                        | {index: items[index] for index in row.challenger_listed},
                    )
                    self._rivals.open(rivals)
                case ChoiceRow():
                    if learning:
                        self._teacher.choice(row)
                case VisitRow():
                    pass

    def _expire(
        self, partition: PartitionKey, now_ms: int, effects: LearnEffects, *, learning: bool
    ) -> None:
        if expired := self._shown.expire(partition, now_ms):
            self._settle(expired, effects, learning=learning)
        if gone := self._next.expire(partition, now_ms):
            self._settle_next(gone, effects, learning=learning)
        self._rivals.expire(partition, now_ms)

    def _show(self, shown: ShownSlate, effects: LearnEffects, *, learning: bool) -> None:
        if learning:
            self._teacher.impression(shown)
        self._settle(self._shown.show(shown), effects, learning=learning)

    def _act(
        self,
        action: ActionRow,
        item_id: str | None,
        partition: PartitionKey,
        event_and_now_ms: tuple[int, int],
        effects: LearnEffects,
        learning: bool,  # noqa: FBT001 - private
    ) -> None:
        if item_id is None:
            return
        event_ms, now_ms = event_and_now_ms
        was_shown = False
        if action.is_label:
            outcome, closed = self._shown.act(partition, action, item_id, event_ms, now_ms)
            was_shown = outcome not in (JoinOutcome.LATE, JoinOutcome.ORPHAN_CLICK)
            if learning and not was_shown:
                effects.joins[outcome] += 1
            if closed is not None:
                self._settle([closed], effects, learning=learning)
        if action.weight > 0:
            is_used = action.is_counted and not was_shown
            answered = self._next.act(action.user_id, item_id, is_used=is_used)
            if answered is not None:
                self._settle_next([answered], effects, learning=learning)
            rivals = self._rivals.act(action.user_id)
            if learning and rivals is not None and self._is_free(action):
                effects.compared.append(rivals.compared(item_id))
        if learning:
            self._teacher.action(action, item_id, event_ms)

    def _is_free(self, action: ActionRow) -> bool:
        """Whether none of our lists led to an action, as far as it tells."""
        if self._names_all_lists:
            return _OUR_LIST.fullmatch(action.list_id) is None
        return not (action.list_id or action.request_id)

    def _settle(self, slates: list[ClosedSlate], effects: LearnEffects, *, learning: bool) -> None:
        """Learn shown slates whose answer is final."""
        if not learning:
            return
        for closed in slates:
            effects.joins[closed.outcome] += 1
            effects.closed.append(closed)
            self._teacher.shown(closed)

    def _settle_next(
        self, slates: list[ClosedCandidates], effects: LearnEffects, *, learning: bool
    ) -> None:
        """Learn slates of candidates of which one was acted upon."""
        if not learning:
            return
        for closed in slates:
            effects.next_joins[closed.outcome] += 1
            self._teacher.candidates(closed)

    # --- what a restart needs ---

    def _notice_loss(self, offset: int) -> None:
        """Records before `offset` are gone: what was to be joined or learned of them is lost."""
        if offset == self.next_offset:
            return
        if self._restored is not None and self.is_refilling:
            self._sources.restore(self._restored.sources)
        if offset > self._learn_from:
            self._sources.allow_jumps()

    def _oldest_record(self) -> int | None:
        """Offset of the record that opened the oldest open slate."""
        records = (self._shown.oldest_record(), self._next.oldest_record())
        return min((record for record in records if record is not None), default=None)

    def _check_layout(self, found: str, where: str) -> None:
        if found != self._layout:
            raise LayoutMismatch(
                f"{where} has feature layout {found!r}, expected {self._layout!r}: the features or "
                "the sources were configured otherwise when it was written. Bring that "
                "configuration back, or begin with a new examples topic and empty learner keys"
            )
