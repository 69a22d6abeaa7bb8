"""Where does an item stand in a list, and where would each source and model have put it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.events import Context, UserId
from featurestore.keys import item_key
from featurestore.lists import RecommendationList
from featurestore.state import UserState
from models.evaluation import MISS
from models.online.vocabulary import UNKNOWN
from streams.config import Config
from streams.evaluation.tally import Placing
from streams.pipeline.composition import build_list_builder, build_scorer
from streams.pipeline.list_requests import Listing, ListRequest, Trigger
from streams.pipeline.live import LiveModels
from streams.pipeline.queries import Asked, queries_of
from streams.pipeline.recommending import Ranked
from streams.pipeline.stopwatch import NoLaps

_PARTITION: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedList:
    """A list, and the same candidates in the order of each source and model.

    Attributes:
        made: The list.
        codes: Its candidates, int32[N].
        by_source: Scores of each proposing source, float[N].
        by_proposal: Ranks of each proposing source's own proposals, int[N]; 0 for none.
        by_model: Scores of each order, float[N].
        context: Of the event that caused it.
    """

    made: RecommendationList
    codes: npt.NDArray[np.integer]
    by_source: Mapping[str, npt.NDArray[np.float32]]
    by_proposal: Mapping[str, npt.NDArray[np.int32]]
    by_model: Mapping[str, npt.NDArray[np.float64]]
    context: Context | None


class Judge:
    """Asks for lists as the pipeline would, and compares orders of their candidates."""

    def __init__(self, config: Config, live: LiveModels) -> None:
        self._live = live
        self._table = config.action_table()
        self._scorer = build_scorer(config, live)
        self._builder = build_list_builder(config, self._scorer)
        self._proposing = [name for name, limit in config.retrieval.limits.items() if limit > 0]

    def ask(
        self,
        user_id: UserId,
        state: UserState,
        *,
        now_ms: int,
        context: Context | None,
        offset: int,
    ) -> JudgedList:
        """Return the list that the user would get at `now_ms`, of event time.

        Args:
            user_id: Whose.
            state: What is known of the user.
            now_ms: For the counters' decay and the items' ages; no event of the user's tells it.
            context: Of the user's last event.
            offset: Of the event that comes next.
        """
        listing, request = self._listing(user_id, state, now_ms, context, offset)
        return self.judged(listing.lists[0], listing.ranked[0], request.asked())

    def made(
        self,
        user_id: UserId,
        state: UserState,
        *,
        now_ms: int,
        context: Context | None,
        offset: int,
    ) -> RecommendationList:
        """Return the list alone; see `ask`."""
        listing, _ = self._listing(user_id, state, now_ms, context, offset)
        return listing.lists[0]

    def _listing(
        self,
        user_id: UserId,
        state: UserState,
        now_ms: int,
        context: Context | None,
        offset: int,
    ) -> tuple[Listing, ListRequest]:
        asked = Asked(user_id, state, now_ms, context)
        queries = queries_of(
            [asked],
            self._live,
            table=self._table,
            num_previous=self._live.online.num_previous,
        )
        # No event causes it; each moment draws anew where lists are drawn.
        trigger = Trigger(f"{offset}", context)
        request = ListRequest(user_id, state, _PARTITION, offset, trigger)
        (listing,), _ = self._builder.build(
            [[request]], queries, self._live, computed_at_ms=now_ms, laps=NoLaps()
        )
        return listing, request

    def judged(self, made: RecommendationList, ranked: Ranked, asked: Asked) -> JudgedList:
        """Return a list with the orders that its candidates could have had."""
        candidates = ranked.candidates
        columns = {
            source.name: at
            for at, source in enumerate(self._live.sources)
            if source.name in self._proposing
        }
        return JudgedList(
            made=made,
            codes=candidates.codes,
            by_source={name: candidates.scores[:, at] for name, at in columns.items()},
            by_proposal={name: candidates.ranks[:, at] for name, at in columns.items()},
            by_model=self._scorer.orders([asked], candidates, self._live),
            context=asked.context,
        )

    def place(self, judged: JudgedList, item_id: str) -> Placing:
        """Return where an item stands."""
        in_list = place_in(judged.made, item_id).in_list
        code = self._live.online.vocabulary.code(item_key(item_id))
        found = np.flatnonzero(judged.codes == code)
        if code == UNKNOWN or not found.size:
            return Placing(
                in_list=in_list,
                by_source=dict.fromkeys(judged.by_source, MISS),
                by_proposal=dict.fromkeys(judged.by_proposal, MISS),
                by_model=dict.fromkeys(judged.by_model, MISS),
            )
        index = int(found[0])
        return Placing(
            in_list=in_list,
            by_source={
                name: rank_among(scores, index) for name, scores in judged.by_source.items()
            },
            by_proposal={
                name: place_of_rank(ranks, index) for name, ranks in judged.by_proposal.items()
            },
            by_model={name: rank_among(scores, index) for name, scores in judged.by_model.items()},
            is_candidate=True,
        )


def place_in(made: RecommendationList, item_id: str) -> Placing:
    """Return where an item stands in a list of which nothing else is known."""
    items: list[str] = [item.item_id for item in made.items]
    return Placing(in_list=items.index(item_id) + 1 if item_id in items else MISS)


def place_of_rank(ranks: npt.NDArray[np.int32], index: int) -> int:
    """Return the place of one item among those that a source proposed; `MISS` if it did not.

    >>> place_of_rank(np.array([0, 7, 2, 5]), 3), place_of_rank(np.array([0, 7, 2, 5]), 0)
    (2, 0)
    """
    rank = ranks[index]
    return 1 + int(((ranks > 0) & (ranks < rank)).sum()) if rank else MISS


def rank_among(scores: npt.NDArray[np.floating], index: int) -> int:
    """Return the place of one item when all are ordered by score; `MISS` if it has none (NaN).

    Ties go to the earlier item, as a stable sort does.

    >>> rank_among(np.array([0.5, 0.9, 0.5, np.nan]), 2), rank_among(np.array([0.5, np.nan]), 1)
    (3, 0)
    """
    score = scores[index]
    if np.isnan(score):
        return MISS
    return 1 + int((scores > score).sum()) + int((scores[:index] == score).sum())
