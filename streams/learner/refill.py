"""From where must the join be filled again after a restart, and what is needed there?

Open slates are not saved. A base names a mark instead: an offset of `examples` at or before the
record of the oldest open slate, and the state in which the source partitions were there. Joining
from the mark to the base, without learning, opens the same slates again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from streams.source_partitions import PartitionMark, SourcePartitions

META_VERSION: Final = 1
RECORDS_PER_MARK: Final = 64
"""More of them make a refill longer, fewer take memory."""


class LayoutMismatch(ValueError):
    """Rows, base or configuration disagree on what a feature's number means."""


class LearnerMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What a base holds beside the tables.

    Attributes:
        version: Of this structure.
        topic_id: Of the `examples` topic.
        layout: Digest of the feature layout and source names.
        offset: Of `examples`, that the tables stand for (exclusive).
        sources: The source partitions at `offset`.
        join_from: Offset of `examples` from which the join must be refilled; at most `offset`.
        join_sources: The source partitions at `join_from`.
    """

    version: int
    topic_id: str
    layout: str
    offset: int
    sources: tuple[PartitionMark, ...]
    join_from: int
    join_sources: tuple[PartitionMark, ...]


class Mark(NamedTuple):
    """The source partitions just before the record at `offset` of `examples`."""

    offset: int
    sources: tuple[PartitionMark, ...]


class RefillMarks:
    """Marks at intervals, as far back as an open slate needs them."""

    def __init__(self, first: Mark) -> None:
        self._marks = deque([first])

    def keep(
        self, offset: int, sources: SourcePartitions, oldest: Callable[[], int | None]
    ) -> None:
        """Note where the sources stand, now and then, and forget marks that nobody needs.

        Args:
            offset: The record that comes next.
            sources: As they are before it.
            oldest: Tells the record that opened the oldest open slate.
        """
        if offset - self._marks[-1].offset < RECORDS_PER_MARK:
            return
        self._marks.append(Mark(offset, sources.mark()))
        needed = oldest()
        while len(self._marks) > 1 and (needed is None or self._marks[1].offset <= needed):
            self._marks.popleft()

    def before(self, record: int) -> Mark:
        """Return the latest mark at or before a record that is still open."""
        return next(mark for mark in reversed(self._marks) if mark.offset <= record)
