"""What can become of a slate that waits for its answer, or of a click that is one?"""

from __future__ import annotations

from enum import Enum


class JoinOutcome(Enum):
    """What became of a slate, or of a click."""

    JOINED = "joined"
    TIMEOUT = "timeout"
    EVICTED = "evicted"
    """Closed for want of room and not learned: nobody knows whether it would have been clicked."""
    REPEATED = "repeated"
    """Clicked by a user who has clicked that item so often that it counts no more: not learned."""
    LATE = "late"
    ORPHAN_CLICK = "orphan_click"
