"""From which offset does a partition start, given what is wanted and what the log still has?"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from faust.types import TP

from streams.engine.errors import StartPositionError

LOG_START: Final = -2
"""Start offset that means "wherever the log begins", and reports nothing as lost."""


class Position(NamedTuple):
    """Where a partition starts, and how many events before it the log no longer has."""

    offset: int
    num_lost: int


def resolve_position(tp: TP, *, wanted: int, log_start: int, log_end: int) -> Position:
    """Hold a wanted offset against the log.

    Args:
        tp: The partition, for messages.
        wanted: The offset of the next event to process, or `LOG_START`.
        log_start: The oldest offset that the log still has.
        log_end: The offset that the next appended record will get.

    Returns:
        The wanted offset, or the log's start where retention has cut beyond it.

    Raises:
        StartPositionError: The wanted offset lies past the log's end, or is no offset.

    >>> resolve_position(TP("events", 0), wanted=40, log_start=0, log_end=90)
    Position(offset=40, num_lost=0)
    >>> resolve_position(TP("events", 0), wanted=40, log_start=55, log_end=90)
    Position(offset=55, num_lost=15)
    >>> resolve_position(TP("events", 0), wanted=LOG_START, log_start=55, log_end=90)
    Position(offset=55, num_lost=0)
    """
    if wanted == LOG_START:
        return Position(log_start, 0)
    if wanted < 0:
        raise StartPositionError(
            f"Start offset of {tp.topic}-{tp.partition} is {wanted}; expected an offset from 0 on, "
            f"or LOG_START."
        )
    if wanted > log_end:
        raise StartPositionError(
            f"{tp.topic}-{tp.partition} is to continue at offset {wanted}, but its log ends at "
            f"{log_end}. Was the topic deleted and created again, or restored from an older copy? "
            f"Continuing would lose events: delete the state and checkpoint that were built from "
            f"the former topic, or bring that topic back."
        )
    return Position(max(wanted, log_start), max(0, log_start - wanted))


def require_offset_for_each(tps: frozenset[TP], wanted: Mapping[TP, int]) -> None:
    """Refuse start offsets that leave a partition out.

    Raises:
        StartPositionError: A partition has no entry.
    """
    if missing := sorted(tps - wanted.keys()):
        names = ", ".join(f"{tp.topic}-{tp.partition}" for tp in missing)
        raise StartPositionError(
            f"start_offsets returned no offset for {names}; expected one for every assigned "
            f"partition (LOG_START where there is no checkpoint)."
        )
