"""Which of two bundles had foreseen what a user did next?

While a bundle challenges the one in use, rows of `examples` hold lists of both for the same moment.
The user's next positive action answers the latest of them. Only actions that none of our lists led
to are compared: who is shown the list in use clicks what it puts first, and that is no evidence
against the list that nobody saw.

Nothing is learned from it, so a restart need not refill it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from models.log_scores import log_score
from streams.examples import RivalRow, unpack_float32
from streams.learner.next_slates import candidate_caps
from streams.learner.open_slates import OpenSlates, PartitionKey
from streams.sections import AttributionConfig


class Compared(NamedTuple):
    """One action of a user, and what the two lists made for that user before said of its item.

    Attributes:
        bundle: Short digest of the bundle in use.
        challenger: Of the other one.
        user: A hash of the user.
        rank: In the list of the bundle in use, from 1; infinite where it did not hold the item.
        challenger_rank: In the challenger's list.
        score: Log score of the order of candidates from which the bundle in use makes a list.
        challenger_score: Of the challenger.
        gain: Reciprocal rank by what the bundle in use itself scored its candidates.
        challenger_gain: By the challenger.
    """

    bundle: str
    challenger: str
    user: int
    rank: float
    challenger_rank: float
    score: float
    challenger_score: float
    gain: float
    challenger_gain: float


@dataclass(slots=True, kw_only=True, eq=False)
class RivalSlate:
    """The lists of one moment that wait for the user's next positive action.

    `items` are those to which the row's indices refer; `bundle` is the one in use.
    """

    partition: PartitionKey
    record_offset: int
    deadline_ms: int
    bundle: str
    row: RivalRow
    items: Mapping[int, str]
    is_open: bool = True

    def compared(self, item_id: str) -> Compared:
        """Return what an action upon an item says."""
        row = self.row
        log_chances_N2 = unpack_float32(row.log_chances, len(row.items))
        gains_N2 = unpack_float32(row.gains, len(row.items))
        of_item, gains = [-math.inf, -math.inf], [0.0, 0.0]
        if (place := self._place(item_id, row.items)) is not None:
            of_item, gains = log_chances_N2[place].tolist(), gains_N2[place].tolist()
        score, challenger_score = [log_score(one, len(row.items)) for one in of_item]
        return Compared(
            bundle=self.bundle,
            challenger=row.challenger,
            user=crc32(row.user_id.encode()),
            rank=self._rank(item_id, row.listed),
            challenger_rank=self._rank(item_id, row.challenger_listed),
            score=score,
            challenger_score=challenger_score,
            gain=gains[0],
            challenger_gain=gains[1],
        )

    def _rank(self, item_id: str, listed: Sequence[int]) -> float:
        place = self._place(item_id, listed)
        return math.inf if place is None else place + 1

    def _place(self, item_id: str, indices: Sequence[int]) -> int | None:
        places = (place for place, index in enumerate(indices) if self.items[index] == item_id)
        return next(places, None)


class RivalSlates:
    """The latest slate of each user that is still waiting."""

    def __init__(self, config: AttributionConfig) -> None:
        """Begin with none.

        Args:
            config: Of the join; the caps are those of candidates.
        """
        self._open: OpenSlates[RivalSlate] = OpenSlates(candidate_caps(config))
        self._of_user: dict[str, RivalSlate] = {}

    def open(self, slate: RivalSlate) -> None:
        """Let a slate wait in the place of the user's former one."""
        self.act(slate.row.user_id)
        self._of_user[slate.row.user_id] = slate
        self._forget(self._open.add(slate))

    def act(self, user_id: str) -> RivalSlate | None:
        """Return the slate that the user's action answers; it waits no more."""
        slate = self._of_user.pop(user_id, None)
        if slate is not None:
            self._open.close(slate)
        return slate

    def expire(self, partition: PartitionKey, now_ms: int) -> None:
        """Forget what has waited long enough on its partition's clock."""
        self._forget(self._open.expire(partition, now_ms))

    def _forget(self, slates: Sequence[RivalSlate]) -> None:
        for slate in slates:
            del self._of_user[slate.row.user_id]
