"""How much is brought into the store in one go, and how much may wait for that?

Pure. Where somebody waits for lists, steps are small: nothing is held up by what came with it.
While catching up nobody does, and a larger step costs less an event.
"""

from __future__ import annotations

import math
from typing import Final

from streams.pipeline.chunks import ChunkLimits
from streams.sections import RankingConfig, WorkerConfig

_CATCH_UP_STEPS: Final = 3
"""Whole steps that are let in while catching up: one is computed while others are acknowledged and
written. With lists, a slice is more than a second's work, and a stop waits for what was let in."""


class StepSizes:
    """What the configuration says about them."""

    def __init__(
        self, worker: WorkerConfig, ranking: RankingConfig, *, max_candidates: int
    ) -> None:
        """Take the sizes over.

        Args:
            worker: Of slices and chunks.
            ranking: Says of how many lists the candidates are logged.
            max_candidates: Of one list.
        """
        self._worker = worker
        self._items_per_trigger = math.ceil(ranking.slate_sample_rate * max_candidates)

    def at_once(self, *, is_behind: bool) -> int:
        """How many records of the slices that wait are worked on together."""
        worker = self._worker
        if is_behind:
            return max(worker.slice_events, worker.catch_up_chunk_events)
        return worker.slice_events

    def room(self, *, is_behind: bool) -> int:
        """How many records may wait or be worked on when one more slice comes."""
        return self.at_once(is_behind=is_behind) * (_CATCH_UP_STEPS if is_behind else 1)

    def limits(self, *, wants_lists: bool) -> ChunkLimits:
        """What one atomic step may hold."""
        worker = self._worker
        num_events = worker.chunk_events if wants_lists else worker.catch_up_chunk_events
        return ChunkLimits(
            max_events=num_events,
            max_triggered=worker.chunk_users if wants_lists else num_events,
            items_per_trigger=self._items_per_trigger,
        )
