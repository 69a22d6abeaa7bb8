"""Which list does a user get? Recall, filter, rank, diversify, for a batch of users at once.

Pure: a list is a function of the user's state, of the context of the event that caused it, and of
the versions of the models that it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from featurestore.events import UserId
from featurestore.keys import item_keys
from featurestore.lists import EXPLORED, AsOf, RecommendationList
from featurestore.state import UserState
from models.online.retrieval import (
    Proposals,
    Query,
    Questions,
    RetrievalConfig,
    propose,
)
from models.policies.exploration import (
    ExplorationConfig,
    Ordered,
    Slate,
    best_list,
    ordered,
    seed_of,
)
from streams.pipeline.list_requests import (
    NOTHING_SHOWN,
    Built,
    Listing,
    ListRequest,
    LoggedSlate,
    Shown,
)
from streams.pipeline.live import LiveModels
from streams.pipeline.newcomers import turn_of
from streams.pipeline.recommending import NOTHING_UNMET, Ranked, Unmet, items_of
from streams.pipeline.scoring import Scorer, Seen
from streams.pipeline.stopwatch import Laps
from streams.sections import RankingConfig

_BATCH: Final = 16
_BATCH_SHOWN: Final = 64
"""Lists and impressions that are computed together: more would leave the processor's cache."""


def _batches(shown: Shown, num_requests: int) -> Iterator[tuple[Shown, slice]]:
    """Impressions and requests that are seen together."""
    num_shown = len(shown.events)
    for number in range(max(-(-num_shown // _BATCH_SHOWN), -(-num_requests // _BATCH))):
        part = slice(number * _BATCH_SHOWN, (number + 1) * _BATCH_SHOWN)
        yield shown.part(part), slice(number * _BATCH, (number + 1) * _BATCH)


def _is_drawn(below: float, user_id: UserId, partition: int, offset: int) -> bool:
    if not below:
        return False
    place = partition << 48 | offset
    return crc32(place.to_bytes(8, "little"), crc32(user_id.encode())) < below


class ListBuilder:
    """The rules by which lists are made."""

    def __init__(
        self,
        *,
        ranking: RankingConfig,
        retrieval: RetrievalConfig,
        exploration: ExplorationConfig,
        scorer: Scorer,
        config_digest: str,
        compare_rate: float,
    ) -> None:
        self._ranking = ranking
        self._retrieval = retrieval
        self._exploration = exploration
        self._scorer = scorer
        self._config_digest = config_digest
        self._sampled_below = ranking.slate_sample_rate * 2**32
        self._compared_below = compare_rate * 2**32

    def is_sampled(self, user_id: UserId, partition: int, offset: int) -> bool:
        """Whether a list's candidates are logged; the same for every replay."""
        return _is_drawn(self._sampled_below, user_id, partition, offset)

    def is_compared(self, request: ListRequest) -> bool:
        """Whether a list is compared with a challenger's, where one is made and there is one."""
        return _is_drawn(self._compared_below, request.user_id, request.partition, request.offset)

    def build(
        self,
        groups: Sequence[Sequence[ListRequest]],
        queries: Sequence[Query],
        live: LiveModels,
        *,
        beside: Shown = NOTHING_SHOWN,
        computed_at_ms: int,
        laps: Laps,
    ) -> Built:
        """Build the lists of several groups of users; no list depends on the others.

        Args:
            groups: The requests of each group, at most one a user.
            queries: What the sources know of each request, group after group.
            live: The models.
            beside: What was shown, to be scored and featured in the same go.
            computed_at_ms: The wall clock, written into the lists.
            laps: Takes the time of each stage.
        """
        built = Built([Listing() for _ in groups], [])
        requests = [request for group in groups for request in group]
        into = [one for one, group in zip(built.listings, groups, strict=True) for _ in group]
        for shown, part in _batches(beside, len(requests)):
            batch = requests[part], queries[part]
            live.follow()
            live.recall_followers([*shown.queries, *queries[part]])
            proposals = self._propose(*batch, live)
            laps.lap("recall")
            asked = [request.asked() for request in requests[part]]
            seen = self._scorer.see(shown, asked, proposals, live)
            built.features.extend(seen.of_shown)
            laps.lap("features")
            if requests[part]:
                ranked = self._rank(requests[part], seen, live)
                laps.lap("rank")
                self._add(*batch, ranked, live, computed_at_ms, into[part])
                laps.lap("list")
        return built

    def ranked(
        self, requests: Sequence[ListRequest], queries: Sequence[Query], live: LiveModels
    ) -> list[Ranked]:
        """Return what lists would be made of."""
        live.follow()
        ranked: list[Ranked] = []
        for _, part in _batches(NOTHING_SHOWN, len(requests)):
            live.recall_followers(queries[part])
            proposals = self._propose(requests[part], queries[part], live)
            asked = [request.asked() for request in requests[part]]
            seen = self._scorer.see(NOTHING_SHOWN, asked, proposals, live)
            ranked += self._rank(requests[part], seen, live)
        return ranked

    def logits(self, ranked: Ranked, live: LiveModels) -> npt.NDArray[np.float64]:
        """By what the candidates of a list were ordered, as what adds up with noise."""
        return self._scorer.logits(ranked.scores, live)

    def _add(
        self,
        requests: Sequence[ListRequest],
        queries: Sequence[Query],
        ranked: Sequence[Ranked],
        live: LiveModels,
        computed_at_ms: int,
        into: Sequence[Listing],
    ) -> None:
        versions = live.versions(self._config_digest, head=self._scorer.head_in_use(live))
        unmet = [self._unmet(*one, live) for one in zip(requests, ranked, strict=True)]
        items_of_lists = items_of(ranked, queries, live, self._ranking.list_size, unmet)
        for request, one, items, listing in zip(
            requests, ranked, items_of_lists, into, strict=True
        ):
            made = RecommendationList(
                user_id=request.user_id,
                list_id=request.place + (EXPLORED if one.ordered.is_explored else ""),
                items=items,
                as_of=AsOf(partition=request.partition, offset=request.offset),
                now_ms=request.state.clock_ms,
                computed_at_ms=computed_at_ms,
                models=versions,
            )
            listing.lists.append(made)
            listing.ranked.append(one)
            self._note(request, one, made, live, listing)

    def _propose(
        self, requests: Sequence[ListRequest], queries: Sequence[Query], live: LiveModels
    ) -> Proposals:
        vocabulary = live.online.vocabulary

        def exclude(asked: Questions) -> npt.NDArray[np.bool_]:
            rows, keys = live.rows.of_codes(asked.codes), vocabulary.keys[asked.codes]
            excluded = ~live.catalogue.available(rows)
            for index, request in enumerate(requests):
                part = asked.part(index)
                excluded[part] |= self._unwanted(request.state, keys[part])
            return excluded

        return propose(live.sources, queries, self._retrieval, exclude)

    def _unwanted(self, state: UserState, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which items the user must not get."""
        unwanted = np.zeros(len(keys), np.bool_)
        if state.hidden_keys:
            unwanted |= state.hidden_mask(keys)
        if self._ranking.skip_acted:
            unwanted |= state.acted_mask(keys)
        if self._ranking.max_shown:
            unwanted |= state.shown_counts(keys) >= self._ranking.max_shown
        return unwanted

    def _rank(self, requests: Sequence[ListRequest], seen: Seen, live: LiveModels) -> list[Ranked]:
        candidates = seen.candidates
        categories = live.catalogue.categories(live.rows.of_codes(candidates.codes))
        ranked = []
        for index, request in enumerate(requests):
            part = candidates.asked.part(index)
            scores = seen.scores_N[part]
            ranking = self._ranking
            slate = Slate(scores, categories[part], ranking.category_cap, ranking.list_size)
            order = self._ordered(request, slate, candidates.codes[part], live)
            is_logged = self.is_sampled(request.user_id, request.partition, request.offset)
            logged = seen.features_NF[part] if is_logged else None
            ranked.append(Ranked(candidates.of(index), scores, order, logged))
        return ranked

    def _ordered(
        self,
        request: ListRequest,
        slate: Slate,
        codes: npt.NDArray[np.integer],
        live: LiveModels,
    ) -> Ordered:
        if not self._exploration.share:
            return best_list(slate)
        logits, keys = self._scorer.logits(slate.scores, live), live.online.vocabulary.keys[codes]
        seed = seed_of(request.user_id, request.trigger.event_id)
        return ordered(slate, logits, keys, self._exploration, seed)

    def _unmet(self, request: ListRequest, ranked: Ranked, live: LiveModels) -> Unmet:
        """Items that nobody has met, for the places that are kept or left for them."""
        ranking = self._ranking
        num = max(ranking.num_new, ranking.list_size - len(ranked.order))
        offered = live.newcomers.offered(live.online.tables.generation) if num else []
        if not offered:
            return NOTHING_UNMET
        keys = item_keys(offered)
        rows = live.catalogue.rows_of(keys)
        unwanted = self._unwanted(request.state, keys) | ~live.catalogue.available(rows)
        wanted = [
            item for item, is_out in zip(offered, unwanted.tolist(), strict=True) if not is_out
        ]
        # A short list takes the newest; a full one takes turns, so that each of them is shown.
        if len(ranked.order) < ranking.list_size:
            return Unmet(turn_of(wanted, 0, num), 1.0)
        turn = turn_of(wanted, crc32(request.place.encode()), num)
        return Unmet(turn, 1.0 / max(len(wanted), 1))

    def _note(
        self,
        request: ListRequest,
        ranked: Ranked,
        made: RecommendationList,
        live: LiveModels,
        listing: Listing,
    ) -> None:
        """Keep what a sampled list chose from, and what the metrics count."""
        candidates = ranked.candidates
        if ranked.features_NF is not None and len(candidates):
            item_id = live.online.vocabulary.item_id
            listing.slates[request.offset] = LoggedSlate(
                made.list_id,
                [item_id(code) for code in candidates.codes.tolist()],
                ranked.features_NF,
            )
        numbers = (candidates.ranks > 0).sum(axis=0).tolist()
        for source, number in zip(live.sources, numbers, strict=True):
            if number:
                listing.candidates[source.name] += number
        listing.recommended.update(item.source for item in made.items)
        listing.places[made.order] += len(made.items)
