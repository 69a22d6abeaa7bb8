"""How is a slice cut into what one atomic step can hold?

Pure. The chunks of a slice join without a gap, and together cover exactly its offsets, records
that are no events included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from featurestore.events import Impression, UserId
from streams.decoding import Decoded, DecodedEvent, RefusedRecord


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
    max_events: int,
    max_triggered: int,
) -> Iterator[Chunk]:
    """Cut the offsets [from_offset, to_offset).

    Args:
        decoded: All that stands there.
        partition: Where.
        from_offset: The slice's first offset.
        to_offset: The offset after the slice.
        max_events: Most events of a chunk.
        max_triggered: Most users of a chunk who get a list.
    """
    starts = _starts(decoded.events, max_events, max_triggered)
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


def _starts(events: list[DecodedEvent], max_events: int, max_triggered: int) -> list[int]:
    starts = [0]
    triggered: set[UserId] = set()
    for index, (_, event) in enumerate(events):
        triggers = not isinstance(event, Impression)
        is_full = index - starts[-1] >= max_events or (
            triggers and len(triggered) >= max_triggered and event.user_id not in triggered
        )
        if is_full:
            starts.append(index)
            triggered.clear()
        if triggers:
            triggered.add(event.user_id)
    return starts
