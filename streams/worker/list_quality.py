"""What are the lists like that were written last: how much of the catalogue, how alike, how known?

Numbers for dashboards, over a bounded number of the latest lists; no decision depends on them.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from featurestore.events import UserId
from featurestore.keys import item_keys
from featurestore.lists import RecommendationList
from models.ranking import NO_CATEGORY
from streams.examples import NO_ITEM, ActionRow, ExamplesRecord
from streams.pipeline.live import LiveModels

MAX_LISTS: Final = 2_000
"""Latest lists that are kept, one a user; 20 items take about 5 KB."""
NUM_MEASURED: Final = 300
"""Of these, the latest that are measured."""
NOT_OURS: Final = "none"
"""The source of a click on what was not in the user's latest list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuality:
    """Figures of some lists.

    Attributes:
        coverage: Share of the items known that were in one of them.
        diversity: Mean share of item pairs of different categories; NaN without categories.
        novelty_bits: Mean self-information of the items by their share of recent actions.
    """

    coverage: float
    diversity: float
    novelty_bits: float


class LatestLists:
    """The lists that were written last."""

    def __init__(self) -> None:
        self._lists: OrderedDict[UserId, RecommendationList] = OrderedDict()

    def add(self, lists: Iterable[RecommendationList]) -> None:
        """Keep these as the latest, one a user."""
        for made in lists:
            self._lists[made.user_id] = made
            self._lists.move_to_end(made.user_id)
        while len(self._lists) > MAX_LISTS:
            self._lists.popitem(last=False)

    def sources_of_clicks(self, record: ExamplesRecord) -> Counter[str]:
        """Count label actions by the source that had brought the item into the user's list.

        Only actions that echo the latest list's id are counted with its sources; before the first
        list there is nothing to count.
        """
        counted: Counter[str] = Counter()
        if not self._lists:
            return counted
        for row in record.rows:
            if isinstance(row, ActionRow) and row.is_label and row.item != NO_ITEM:
                counted[self._source(row, record.items[row.item])] += 1
        return counted

    def quality(self, live: LiveModels) -> ListQuality | None:
        """Measure the latest lists; None while there are none."""
        lists = list(self._lists.values())[-NUM_MEASURED:]
        item_ids = list(dict.fromkeys(item.item_id for made in lists for item in made.items))
        if not item_ids:
            return None
        keys = item_keys(item_ids)
        categories = live.catalogue.categories(live.catalogue.rows_of(keys)).tolist()
        num_known = max(len(live.online.vocabulary), len(live.catalogue), len(item_ids))
        return ListQuality(
            coverage=len(item_ids) / num_known,
            diversity=_diversity(lists, dict(zip(item_ids, categories, strict=True))),
            novelty_bits=_novelty_bits(lists, item_ids, live),
        )

    def _source(self, row: ActionRow, item_id: str) -> str:
        made = self._lists.get(UserId(row.user_id))
        if made is None or made.list_id != row.list_id:
            return NOT_OURS
        return next((one.source for one in made.items if one.item_id == item_id), NOT_OURS)


def _diversity(lists: Sequence[RecommendationList], category_of: dict[str, int]) -> float:
    shares = []
    for made in lists:
        known = [c for item in made.items if (c := category_of[item.item_id]) != NO_CATEGORY]
        num_pairs = math.comb(len(known), 2)
        if num_pairs:
            alike = sum(math.comb(number, 2) for number in Counter(known).values())
            shares.append(1 - alike / num_pairs)
    return sum(shares) / len(shares) if shares else math.nan


def _novelty_bits(
    lists: Sequence[RecommendationList], item_ids: Sequence[str], live: LiveModels
) -> float:
    vocabulary, popularity = live.online.vocabulary, live.online.popularity
    now_ms = max(made.now_ms for made in lists)
    num_rows = vocabulary.num_rows
    if not num_rows:
        return math.nan
    total = float(popularity.counts(np.arange(num_rows), now_ms).sum()) + num_rows
    codes = vocabulary.codes(item_keys(item_ids).tolist())
    counts = np.where(codes >= 0, popularity.counts(codes, now_ms), 0.0) + 1.0
    bits = dict(zip(item_ids, (-np.log2(counts / total)).tolist(), strict=True))
    shown = [bits[item.item_id] for made in lists for item in made.items]
    return float(sum(shown) / len(shown))
