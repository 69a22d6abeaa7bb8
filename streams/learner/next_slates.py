"""Which candidates did the system have in mind when the user acted next?

A logged slate holds all candidates of one list as they were ranked. The user's next positive action
closes it: the item acted upon is the positive, all others are negatives, and an item that is not
among them is a `recall_miss`, never inserted. Per user only the latest slate is open; the window
is that of the shown slates, and the caps are smaller because each holds some 40 KB.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from streams.examples import SlateRow
from streams.learner.open_slates import OpenSlates, PartitionKey, SlateCaps
from streams.sections import AttributionConfig

_SHARE_OF_CAPS: Final = 40
"""A slate of 300 candidates takes so much more memory than one of 20 items that was shown."""


class NextOutcome(Enum):
    """What became of a logged slate."""

    JOINED = "joined"
    RECALL_MISS = "recall_miss"
    UNUSED = "unused"
    """The action answered what was shown, which teaches more, or repeats what counts no more."""
    REPLACED = "replaced"
    TIMEOUT = "timeout"
    EVICTED = "evicted"


@dataclass(slots=True, kw_only=True, eq=False)
class CandidateSlate:
    """The candidates of one list that wait for the user's next positive action."""

    partition: PartitionKey
    record_offset: int
    deadline_ms: int
    row: SlateRow
    items: tuple[str, ...]
    is_open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedCandidates:
    """A closed slate; `chosen` is the positive's index, or -1 where there is none."""

    slate: CandidateSlate
    outcome: NextOutcome
    chosen: int = -1


class NextSlates:
    """The join of candidates and next actions; pure, and driven row by row."""

    def __init__(self, config: AttributionConfig) -> None:
        self._open: OpenSlates[CandidateSlate] = OpenSlates(candidate_caps(config))
        self._of_user: dict[str, CandidateSlate] = {}

    def oldest_record(self) -> int | None:
        """Offset in `examples` of the record that opened the oldest open slate."""
        slate = self._open.oldest()
        return None if slate is None else slate.record_offset

    def open(self, slate: CandidateSlate) -> list[ClosedCandidates]:
        """Open a slate; return the one that it replaces and those evicted for it."""
        closed: list[ClosedCandidates] = []
        replaced = self._of_user.get(slate.row.user_id)
        if replaced is not None:
            self._open.close(replaced)
            closed.append(ClosedCandidates(slate=replaced, outcome=NextOutcome.REPLACED))
        self._of_user[slate.row.user_id] = slate
        closed += [self._gone(slate, NextOutcome.EVICTED) for slate in self._open.add(slate)]
        return closed

    def act(self, user_id: str, item_id: str, *, is_used: bool) -> ClosedCandidates | None:
        """Close the user's slate with the item of a positive action.

        Args:
            user_id: Who acted.
            item_id: Upon what.
            is_used: Whether anything is to be learned of it from candidates.
        """
        slate = self._of_user.pop(user_id, None)
        if slate is None:
            return None
        self._open.close(slate)
        if not is_used:
            return ClosedCandidates(slate=slate, outcome=NextOutcome.UNUSED)
        if item_id not in slate.items:
            return ClosedCandidates(slate=slate, outcome=NextOutcome.RECALL_MISS)
        chosen = slate.items.index(item_id)
        return ClosedCandidates(slate=slate, outcome=NextOutcome.JOINED, chosen=chosen)

    def expire(self, partition: PartitionKey, now_ms: int) -> list[ClosedCandidates]:
        """Close what has waited long enough on its partition's clock."""
        return [
            self._gone(slate, NextOutcome.TIMEOUT) for slate in self._open.expire(partition, now_ms)
        ]

    def give_up(self, record_offset: int) -> list[ClosedCandidates]:
        """Evict slates that would make a restart read too far back."""
        return [
            self._gone(slate, NextOutcome.EVICTED) for slate in self._open.give_up(record_offset)
        ]

    def _gone(self, slate: CandidateSlate, outcome: NextOutcome) -> ClosedCandidates:
        del self._of_user[slate.row.user_id]
        return ClosedCandidates(slate=slate, outcome=outcome)


def candidate_caps(config: AttributionConfig) -> SlateCaps:
    """Return how many lists' candidates may wait for an answer."""
    return SlateCaps(
        max_per_partition=max(1, config.max_open_slates_per_partition // _SHARE_OF_CAPS),
        max_total=max(1, config.max_open_slates // _SHARE_OF_CAPS),
    )
