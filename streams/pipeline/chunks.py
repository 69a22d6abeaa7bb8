"""How is a slice cut into what one atomic step can hold?

Pure. The chunks of a slice join without a gap, and together cover exactly its offsets, records
that are no events included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from featurestore.events import Impression, UserId
from streams.pipeline.decoding import Decoded, DecodedEvent, RefusedRecord

MAX_ITEMS: Final = 40_000
"""Most featured items of a chunk's record of examples: at some 150 bytes each it stays far below
what the topic takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """What one atomic step may hold.

    Attributes:
        max_events: Most events.
        max_triggered: Most users who get a list.
        items_per_trigger: Items that a trigger puts into the examples on average: those of the
            lists whose candidates are logged.
    """

    max_events: int
    max_triggered: int
    items_per_trigger: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The offsets [from_offset, to_offset) of one partition, decoded.

    Attributes:
        partition: Of `events`.
        from_offset: The first offset that it covers.
        to_offset: The first that it does not.
        events: What of it is events, in offset order.
        refused: What is not.
    """

    partition: int
    from_offset: int
    to_offset: int
    events: list[DecodedEvent]
    refused: list[RefusedRecord]

    def after(self, next_offset: int) -> Chunk | None:
        """Return what of the chunk lies from `next_offset` on; None where nothing does."""
        if next_offset <= self.from_offset:
            return self
        if next_offset >= self.to_offset:
            return None
        return replace(
            self,
            from_offset=next_offset,
            events=[one for one in self.events if one.record.offset >= next_offset],
            refused=[one for one in self.refused if one.record.offset >= next_offset],
        )


def chunks_of(
    decoded: Decoded,
    *,
    partition: int,
    from_offset: int,
    to_offset: int,
    limits: ChunkLimits,
) -> Iterator[Chunk]:
    """Cut the offsets [from_offset, to_offset).

    Args:
        decoded: All that stands there.
        partition: Where.
        from_offset: The slice's first offset.
        to_offset: The offset after the slice.
        limits: Of each chunk.
    """
    starts = _starts(decoded.events, limits)
    edges = [decoded.events[start].record.offset for start in starts[1:]]
    refused = decoded.refused
    for start, end, edge in zip(
        starts, [*starts[1:], len(decoded.events)], [*edges, to_offset], strict=True
    ):
        yield Chunk(
            partition=partition,
            from_offset=from_offset,
            to_offset=edge,
            events=decoded.events[start:end],
            refused=[one for one in refused if from_offset <= one.record.offset < edge],
        )
        from_offset = edge


def _starts(events: list[DecodedEvent], limits: ChunkLimits) -> list[int]:
    num_most = min(limits.max_events, limits.max_triggered)
    if len(events) <= num_most and _num_items(events, limits) <= MAX_ITEMS:
        return [0]
    starts = [0]
    end = limits.max_events
    num_items = 0
    triggered: set[UserId] = set()
    for index, decoded in enumerate(events):
        event = decoded.event
        is_shown = isinstance(event, Impression)
        num_more = len(event.items) if isinstance(event, Impression) else limits.items_per_trigger
        is_full = (
            index >= end
            or num_items + num_more > MAX_ITEMS
            or (
                not is_shown
                and len(triggered) >= limits.max_triggered
                and event.user_id not in triggered
            )
        )
        if is_full and index > starts[-1]:
            starts.append(index)
            end = index + limits.max_events
            num_items = 0
            triggered.clear()
        num_items += num_more
        if not is_shown:
            triggered.add(event.user_id)
    return starts


def _num_items(events: list[DecodedEvent], limits: ChunkLimits) -> int:
    shown = [len(one.event.items) for one in events if isinstance(one.event, Impression)]
    return sum(shown) + (len(events) - len(shown)) * limits.items_per_trigger
