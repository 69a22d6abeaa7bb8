"""Which list does a user get? Recall, filter, rank, diversify, for a batch of users at once.

Pure: a list is a function of the user's state, of the context of the event that caused it, and of
the versions of the models that it names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from featurestore.events import Context, ItemId, UserId
from featurestore.keys import item_keys
from featurestore.lists import AsOf, RecommendationList, RecommendedItem
from featurestore.state import UserState
from models.next_features import next_features
from models.ranking import best_first, diversify
from models.retrieval import Candidates, Query, RetrievalConfig, retrieve
from streams.featuring import Featurer
from streams.live import TRANSFORMER, LiveModels
from streams.newcomers import turn_of
from streams.queries import Asked
from streams.recommending import Ranked, items_of
from streams.sections import RankingConfig
from streams.stopwatch import Laps


class ListRequest(NamedTuple):
    """One list to build.

    Attributes:
        user_id: Whose.
        state: The state up to `offset`.
        partition: Of the event that causes it.
        offset: The event up to which the state was folded.
        context: Of that event.
    """

    user_id: UserId
    state: UserState
    partition: int
    offset: int
    context: Context | None

    @property
    def list_id(self) -> str:
        """What impressions echo."""
        return f"{self.partition}-{self.offset}"

    def asked(self) -> Asked:
        """The moment that the list is computed for."""
        return Asked(self.user_id, self.state, self.state.clock_ms, self.context)


@dataclass(frozen=True, slots=True)
class LoggedSlate:
    """All candidates of a list, for the next head to learn from.

    Attributes:
        list_id: Of the list.
        item_ids: The candidates.
        features_NF: float32, the next head's inputs.
    """

    list_id: str
    item_ids: list[str]
    features_NF: npt.NDArray[np.float32]


@dataclass(slots=True)
class Listing:
    """What a batch of requests led to.

    Attributes:
        lists: One for each request, in their order.
        ranked: What each request's list was chosen from, in their order.
        slates: The candidates of the sampled ones, by the offset of the request.
        candidates: How many each source proposed.
        recommended: How many items of the lists each source brought first.
    """

    lists: list[RecommendationList] = field(default_factory=list)
    ranked: list[Ranked] = field(default_factory=list)
    slates: dict[int, LoggedSlate] = field(default_factory=dict)
    candidates: Counter[str] = field(default_factory=Counter)
    recommended: Counter[str] = field(default_factory=Counter)


class ListBuilder:
    """The rules by which lists are made."""

    def __init__(
        self,
        *,
        ranking: RankingConfig,
        retrieval: RetrievalConfig,
        featurer: Featurer,
        config_digest: str,
    ) -> None:
        self._ranking = ranking
        self._retrieval = retrieval
        self._featurer = featurer
        self._config_digest = config_digest
        self._sampled_below = ranking.slate_sample_rate * 2**32

    def is_sampled(self, user_id: UserId, partition: int, offset: int) -> bool:
        """Whether a list's candidates are logged; the same for every replay."""
        if not self._sampled_below:
            return False
        place = partition << 48 | offset
        hashed = crc32(place.to_bytes(8, "little"), crc32(user_id.encode()))
        return hashed < self._sampled_below

    def build(
        self,
        requests: Sequence[ListRequest],
        queries: Sequence[Query],
        live: LiveModels,
        *,
        computed_at_ms: int,
        laps: Laps,
    ) -> Listing:
        """Build the lists of a batch of users.

        Args:
            requests: At most one a user.
            queries: What the sources know of each.
            live: The models.
            computed_at_ms: The wall clock, written into the lists.
            laps: Takes the time of each stage.
        """
        listing = Listing()
        if not requests:
            return listing
        live.prepare(queries, self._retrieval.limits.get(TRANSFORMER, 0))
        found = [
            self._recall(request, query, live)
            for request, query in zip(requests, queries, strict=True)
        ]
        laps.lap("recall")
        by_clicks = self._ranks_by_clicks(live)
        ranked = [
            self._rank(request, query, candidates, live, by_clicks=by_clicks)
            for request, query, candidates in zip(requests, queries, found, strict=True)
        ]
        laps.lap("rank")
        listing.ranked = ranked
        versions = live.versions(self._config_digest)
        for request, query, one in zip(requests, queries, ranked, strict=True):
            unmet = self._unmet(request, one, live)
            items = items_of(one, query, live, self._ranking.list_size, unmet)
            listing.lists.append(
                RecommendationList(
                    user_id=request.user_id,
                    list_id=request.list_id,
                    items=items,
                    as_of=AsOf(partition=request.partition, offset=request.offset),
                    now_ms=request.state.clock_ms,
                    computed_at_ms=computed_at_ms,
                    models=versions,
                )
            )
            self._note(request, one, items, live, listing)
        laps.lap("list")
        return listing

    def _recall(self, request: ListRequest, query: Query, live: LiveModels) -> Candidates:
        vocabulary = live.online.vocabulary

        def exclude(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
            rows = live.rows.of_codes(codes)
            return self._excluded(request.state, vocabulary.keys[codes], rows, live)

        return retrieve(live.sources, query, self._retrieval, exclude)

    def _excluded(
        self,
        state: UserState,
        keys: npt.NDArray[np.uint64],
        rows: npt.NDArray[np.int64],
        live: LiveModels,
    ) -> npt.NDArray[np.bool_]:
        """Which items the user must not get."""
        excluded: npt.NDArray[np.bool_]
        excluded = ~live.catalogue.available(rows)
        if state.hidden.keys:
            excluded |= state.hidden_mask(keys)
        if self._ranking.skip_acted:
            excluded |= state.acted_mask(keys)
        if self._ranking.max_shown:
            excluded |= state.shown_counts(keys) >= self._ranking.max_shown
        return excluded

    def _ranks_by_clicks(self, live: LiveModels) -> bool:
        head = self._ranking.head
        if head != "auto":
            return head == "click"
        return live.online.click.evidence >= self._ranking.min_clicks

    def _rank(
        self,
        request: ListRequest,
        query: Query,
        candidates: Candidates,
        live: LiveModels,
        *,
        by_clicks: bool,
    ) -> Ranked:
        online = live.online
        keys = online.vocabulary.keys[candidates.codes]
        rows = live.rows.of_codes(candidates.codes)
        is_sampled = self.is_sampled(request.user_id, request.partition, request.offset)
        features_NF = None
        if is_sampled or not by_clicks:
            features_NF = next_features(candidates, is_cold=query.is_cold)
        if by_clicks or features_NF is None:
            features = self._featurer.of_candidates(request.asked(), keys, rows, candidates, live)
            scores = online.click.probabilities(features.relevance)
        else:
            scores = online.next.utilities(features_NF)
        order = diversify(
            best_first(scores),
            live.catalogue.categories(rows),
            self._ranking.category_cap,
            self._ranking.list_size,
        )
        return Ranked(candidates, scores, order, features_NF if is_sampled else None)

    def _unmet(self, request: ListRequest, ranked: Ranked, live: LiveModels) -> list[ItemId]:
        """Items that nobody has met, for the places that are kept or left for them."""
        ranking = self._ranking
        num = max(ranking.num_new, ranking.list_size - len(ranked.order))
        offered = live.newcomers.offered(live.online.tables.generation) if num else []
        if not offered:
            return []
        keys = item_keys(offered)
        rows = live.catalogue.rows_of(keys)
        excluded = self._excluded(request.state, keys, rows, live).tolist()
        wanted = [item for item, is_out in zip(offered, excluded, strict=True) if not is_out]
        # A short list takes the newest; a full one takes turns, so that each of them is shown.
        is_short = len(ranked.order) < ranking.list_size
        return turn_of(wanted, 0 if is_short else crc32(request.list_id.encode()), num)

    def _note(
        self,
        request: ListRequest,
        ranked: Ranked,
        items: Sequence[RecommendedItem],
        live: LiveModels,
        listing: Listing,
    ) -> None:
        """Keep what a sampled list chose from, and what the metrics count."""
        candidates = ranked.candidates
        if ranked.features_NF is not None and len(candidates):
            item_id = live.online.vocabulary.item_id
            listing.slates[request.offset] = LoggedSlate(
                request.list_id,
                [item_id(code) for code in candidates.codes.tolist()],
                ranked.features_NF,
            )
        numbers = (candidates.ranks > 0).sum(axis=0).tolist()
        for source, number in zip(live.sources, numbers, strict=True):
            if number:
                listing.candidates[source.name] += number
        listing.recommended.update(item.source for item in items)
