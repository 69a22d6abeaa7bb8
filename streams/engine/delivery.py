"""Did anything between the fetch and the agent lose, repeat or reorder a slice?"""

from typing import Any, NamedTuple

import faust
from faust.types import TP, EventT, StreamT
from typing_extensions import override

from streams.engine.errors import FatalEngineError
from streams.engine.slices import SliceMessage


class _Seen(NamedTuple):
    epoch: int
    next_offset: int


class DeliveryCheck(faust.Sensor):
    """Holds every slice against its predecessor, at the last moment before a handler sees it.

    Faust has several places that drop messages on purpose (cleared queues, cancelled puts,
    skipped generations), all of them followed by a seek, we believe. This is what would tell if
    one were not: the exception escapes the agent and ends the process.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, TP], _Seen] = {}
        super().__init__()

    @override
    def on_stream_event_in(
        self, tp: TP, offset: int, stream: StreamT[Any], event: EventT[Any]
    ) -> dict[Any, Any] | None:
        """Check the slice that the stream is about to hand out.

        Raises:
            FatalEngineError: It does not continue where its predecessor ended.
        """
        message = event.message
        if not isinstance(message, SliceMessage):
            return None
        key = (id(stream), tp)
        seen = self._seen.get(key)
        if seen is not None and seen.epoch == message.epoch and seen.next_offset != offset:
            raise FatalEngineError(
                f"{tp.topic}-{tp.partition} was to go on at offset {seen.next_offset}, but the "
                f"slice at {offset} was delivered; nothing of it has been processed."
            )
        self._seen[key] = _Seen(message.epoch, message.next_offset)
        return None
