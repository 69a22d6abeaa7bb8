"""What does the engine deliver: which records, of which partition, between which offsets?"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from faust.types import TP
from faust.types.tuples import ConsumerMessage

STALE_GENERATION: Final = -1
"""Never equal to a group generation, so that Faust's own check skips the message."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record, undecoded.

    `append_ms` is the broker's append time where the topic has
    `message.timestamp.type=LogAppendTime`, otherwise the producer's clock. It is positional and
    untracked by the garbage collector because a worker creates one for every event.
    """

    offset: int
    key: bytes | None
    value: bytes | None
    append_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of one partition that were fetched in one go.

    Slices of a partition join without a gap: each one's `base_offset` is its predecessor's
    `next_offset`, also where compaction or transactions left holes, so that `next_offset` is
    what a checkpoint stores. `records` is never empty, is in offset order, and lies within
    [base_offset, next_offset).
    """

    topic: str
    partition: int
    base_offset: int
    next_offset: int
    records: tuple[Record, ...]

    @property
    def tp(self) -> TP:
        """The partition as Faust names it."""
        return TP(self.topic, self.partition)

    @property
    def num_records(self) -> int:
        """Number of records, at least one."""
        return len(self.records)


def joined(slices: Sequence[Slice]) -> Slice:
    """Return slices that follow each other as one."""
    first, last = slices[0], slices[-1]
    if len(slices) == 1:
        return first
    return Slice(
        topic=first.topic,
        partition=first.partition,
        base_offset=first.base_offset,
        next_offset=last.next_offset,
        records=tuple(record for slice_ in slices for record in slice_.records),
    )


class SliceMessage(ConsumerMessage):
    """The Faust message that carries one slice; its offset is the slice's base offset.

    It goes stale when its partition is positioned anew: then it reports a generation that no
    group has, and the check by which Faust skips messages of an older generation skips it too,
    wherever it was buffered.
    """

    __slots__ = ("_epochs", "_generation", "epoch", "next_offset")

    def __init__(
        self, slice_: Slice, *, generation: int, epoch: int, epochs: Mapping[TP, int]
    ) -> None:
        """Wrap a slice.

        Args:
            slice_: What was fetched.
            generation: The group generation under which it was fetched.
            epoch: The positioning of its partition under which it was fetched.
            epochs: The current positioning of every partition, looked at each time that
                somebody asks for the generation.
        """
        self.epoch = epoch
        self.next_offset = slice_.next_offset
        self._epochs = epochs
        super().__init__(
            slice_.topic,
            slice_.partition,
            slice_.base_offset,
            slice_.records[-1].append_ms / 1000,
            1,
            None,
            None,
            cast("Any", slice_),
            None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=slice_.tp,
            generation_id=generation,
        )

    @property
    def is_stale(self) -> bool:
        """Whether its partition has been positioned anew, or lost, since it was fetched."""
        return self._epochs.get(self.tp) != self.epoch

    @property
    def generation_id(self) -> int:
        """The generation it was fetched under, or one that never is, once it is stale."""
        return STALE_GENERATION if self.is_stale else self._generation

    @generation_id.setter
    def generation_id(self, generation: int) -> None:
        self._generation = generation
