"""Which rows of `examples` are new, and what time is it where they come from?

The records of one source partition tile its offsets. A worker that crashed between the
acknowledgement of a record and its checkpoint writes the same events once more, perhaps cut
differently: what was taken already is dropped here, so that every source offset counts exactly
once. A hole, on the other hand, must stop the learner: whatever it learned beyond it could never be
told from the truth again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from streams.examples import ExamplesRecord, tail_of
from streams.learner.open_slates import PartitionKey
from streams.partition_clock import ClockConfig, ClockMark, PartitionClock


class GapInExamples(ValueError):
    """Source offsets are missing between two records of a partition."""


class PartitionMark(msgspec.Struct, frozen=True, array_like=True):
    """Where a source partition stands: its next offset and its clock."""

    topic_id: str
    partition: int
    next_offset: int
    clock: ClockMark


@dataclass(slots=True)
class SourcePartition:
    """One partition of `events`, as far as `examples` has told of it."""

    next_offset: int
    clock: PartitionClock
    may_jump: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPart:
    """What of a record has not been taken before.

    Attributes:
        record: The record, its known rows cut off.
        partition: Its source partition.
        clock: That partition's clock, not yet moved by the record.
        num_lost: Source events that the log no longer had when they were to be read.
    """

    record: ExamplesRecord
    partition: PartitionKey
    clock: PartitionClock
    num_lost: int


@dataclass(slots=True)
class SourcePartitions:
    """All source partitions, by topic id and number."""

    config: ClockConfig
    _partitions: dict[PartitionKey, SourcePartition] = field(default_factory=dict)

    def accept(self, record: ExamplesRecord) -> NewPart | None:
        """Return what is new of a record, or None; the partition has then moved past it.

        A partition's first record defines where it starts.

        Raises:
            GapInExamples: The record begins after the partition's next offset, and does not say
                that retention had removed what lies between. Nothing has moved.
        """
        key = (record.topic_id, record.partition)
        source = self._partitions.get(key)
        if source is None:
            source = SourcePartition(record.from_offset, PartitionClock(self.config))
            self._partitions[key] = source
        elif record.to_offset <= source.next_offset:
            return None
        num_lost = max(0, record.from_offset - source.next_offset)
        if num_lost and not (source.may_jump or 0 <= record.lost_from <= source.next_offset):
            raise GapInExamples(
                f"partition {record.partition} of events (topic {record.topic_id}): found a record "
                f"from offset {record.from_offset}, expected at most {source.next_offset}. "
                "Records of the examples topic are missing: delete the learner's base, so that it "
                "learns anew from what the topic still has"
            )
        new = tail_of(record, source.next_offset)
        source.next_offset = record.to_offset
        source.may_jump = False
        return NewPart(record=new, partition=key, clock=source.clock, num_lost=num_lost)

    def allow_jumps(self) -> None:
        """Let each partition jump ahead once: records of `examples` itself are known to be lost."""
        for source in self._partitions.values():
            source.may_jump = True

    def mark(self) -> tuple[PartitionMark, ...]:
        """Return the state from which `restore` goes on exactly."""
        return tuple(
            PartitionMark(topic_id, partition, source.next_offset, source.clock.mark())
            for (topic_id, partition), source in self._partitions.items()
        )

    def restore(self, marks: Iterable[PartitionMark]) -> None:
        """Become what `mark` returned."""
        self._partitions = {
            (mark.topic_id, mark.partition): SourcePartition(
                mark.next_offset, PartitionClock(self.config, mark.clock)
            )
            for mark in marks
        }
