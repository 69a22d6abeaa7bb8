"""Which lists are nobody's own? What is popular, of all or of a category; what goes with an item.

Each is a function of the learner's models, but for the wall clock. Its time is that of the newest
event of any item, its `list_id` names the offset of `examples` that the counters stand for, and its
`as_of` no event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.catalogue import UNKNOWN, Catalogue
from featurestore.events import ItemId, UserId
from featurestore.keys import RECOMMENDATIONS_POPULAR, popular_key, similar_key
from featurestore.lists import AsOf, ModelVersions, RecommendationList, RecommendedItem
from featurestore.store import MAX_LISTS_PER_COMMIT
from models.online.online_models import OnlineModels
from models.online.questions import Query, Questions, joined

_NO_USER: Final = UserId("")
_NO_PARTITION: Final = -1
_TIMES_LOOKED_AT: Final = 4
"""Of the best items so many times a list's are looked at for some that are not withdrawn."""
_MOST_SORTED: Final = 20_000
"""Items that categories' lists are made of at most, the most popular ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLists:
    """Makes them.

    Attributes:
        online: The learner's models.
        catalogue: Tells what has been withdrawn, and categories.
        num_items: Of a list, at most.
        config_digest: Of the configuration.
    """

    online: OnlineModels
    catalogue: Catalogue
    num_items: int
    config_digest: str

    def in_batches(
        self, *, num_categories: int, num_similar: int, computed_at_ms: int
    ) -> Iterator[Mapping[bytes, RecommendationList]]:
        """Return the lists that are to be written now, by their keys, as many as may go together.

        Args:
            num_categories: The most popular ones have lists of their own.
            num_similar: Of the items that something new has followed so many have their lists
                made anew, who waits longest first.
            computed_at_ms: Wall clock.
        """
        lists = {RECOMMENDATIONS_POPULAR: self.popular(computed_at_ms)}
        for name, made in self.of_categories(num_categories, computed_at_ms).items():
            lists[popular_key(name)] = made
        keys = list(lists)
        for start in range(0, len(keys), MAX_LISTS_PER_COMMIT):
            yield {key: lists[key] for key in keys[start : start + MAX_LISTS_PER_COMMIT]}
        while num_similar > 0:
            codes = self.online.covisitation.take_changed(min(num_similar, MAX_LISTS_PER_COMMIT))
            if not codes:
                return
            num_similar -= len(codes)
            found = self.similar(codes, computed_at_ms)
            yield {similar_key(item_id): made for item_id, made in found.items()}

    def popular(self, computed_at_ms: int) -> RecommendationList:
        """Return what is acted on most, which is for users who have no list."""
        codes = self.online.popularity.largest(_TIMES_LOOKED_AT * self.num_items)
        codes = codes[self._is_available(codes)][: self.num_items]
        return self._popular_of(codes, computed_at_ms)

    def of_categories(self, num: int, computed_at_ms: int) -> dict[str, RecommendationList]:
        """Return the same of each of the `num` most popular categories, by name.

        An item is of its first category. A category without an item that is acted on has no list.
        """
        codes, categories = self._best_of_categories()
        if not num or not codes.size:
            return {}
        mass = np.bincount(categories, self._counts(codes))
        popular = np.argsort(-mass, kind="stable")[:num]
        names = self.catalogue.category_names
        return {
            names[category]: self._popular_of(
                codes[categories == category][: self.num_items], computed_at_ms
            )
            for category in popular.tolist()
            if mass[category] > 0
        }

    def similar(
        self, codes: Sequence[int], computed_at_ms: int
    ) -> dict[ItemId, RecommendationList]:
        """Return what followed each of some items most, by the item; at least one of them."""
        online, now_ms = self.online, self._now_ms
        source = next(one for one in online.sources if one.name == "covisitation")
        queries = [Query(now_ms=now_ms, previous=[code]) for code in codes]
        found, sizes = joined(source.recall(queries, _TIMES_LOOKED_AT * self.num_items))
        asked = Questions(queries=queries, codes=found, sizes=sizes)
        asked = asked.picked(self._is_available(found))
        scores = source.score(asked)
        lists = {}
        for index, code in enumerate(codes):
            part = asked.part(index)
            best = slice(part.start, min(part.stop, part.start + self.num_items))
            lists[ItemId(online.vocabulary.item_id(code))] = self._made(
                "similar", source.name, asked.codes[best], scores[best], computed_at_ms
            )
        return lists

    def _best_of_categories(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return the most popular items of any category, the best first, and their categories."""
        counts = self._counts(np.arange(self.online.vocabulary.num_rows))
        codes = np.argsort(-counts, kind="stable")[:_MOST_SORTED]
        codes = codes[counts[codes] > 0]
        rows = self.catalogue.rows_of(self.online.vocabulary.keys[codes])
        categories = self.catalogue.categories(rows)
        listed = (categories != UNKNOWN) & self.catalogue.available(rows)
        return codes[listed], categories[listed]

    def _popular_of(self, codes: npt.NDArray[np.int64], computed_at_ms: int) -> RecommendationList:
        return self._made("popular", "trending", codes, self._counts(codes), computed_at_ms)

    def _made(
        self,
        kind: str,
        source: str,
        codes: npt.NDArray[np.integer],
        scores: npt.NDArray[np.floating],
        computed_at_ms: int,
    ) -> RecommendationList:
        online = self.online
        items = tuple(
            RecommendedItem(
                item_id=ItemId(online.vocabulary.item_id(code)),
                score=score,
                source=source,
                position=position,
            )
            for position, (code, score) in enumerate(
                zip(codes.tolist(), scores.tolist(), strict=True), start=1
            )
        )
        return RecommendationList(
            user_id=_NO_USER,
            list_id=f"{kind}-{online.offset}",
            items=items,
            as_of=AsOf(partition=_NO_PARTITION, offset=-1),
            now_ms=self._now_ms,
            computed_at_ms=computed_at_ms,
            models=ModelVersions(
                online=online.offset, items=self.catalogue.digest, config=self.config_digest
            ),
        )

    @property
    def _now_ms(self) -> int:
        return max(int(self.online.vocabulary.last_event_ms.max(initial=0)), 0)

    def _counts(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        if not codes.size:
            return np.zeros(0)
        return self.online.popularity.counts(codes, self._now_ms)

    def _is_available(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        return self.catalogue.available_mask(self.online.vocabulary.keys[codes])
