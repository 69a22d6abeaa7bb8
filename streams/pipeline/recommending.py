"""How do ranked candidates become the items of a list, each with its source and its reason?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.events import ItemId
from featurestore.lists import RecommendedItem
from models.online.questions import joined
from models.online.retrieval import Candidates, Query, Questions, Source
from models.policies.exploration import Ordered
from streams.pipeline.live import TRANSFORMER, LiveModels

FRESH: Final = "fresh"
MAX_REASONS: Final = 10
"""Items of a list that say why they are in it, the first ones: more would take the user over four
kilobytes of Redis (docs/redis-keys.md)."""
_CAUSED: Final = frozenset({"covisitation", TRANSFORMER})
"""Sources whose proposals have a cause among the user's items."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A request's candidates, and which of them make the list.

    Attributes:
        candidates: All of them.
        scores: float64[N], by which they were ordered.
        ordered: The list, as indices into the candidates.
        features_NF: float32, the re-ranker's inputs where they are to be logged.
    """

    candidates: Candidates
    scores: npt.NDArray[np.float64]
    ordered: Ordered
    features_NF: npt.NDArray[np.float32] | None

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """int64[L], the list as indices into the candidates."""
        return self.ordered.order

    @property
    def propensities(self) -> npt.NDArray[np.float64]:
        """float64[L], of each item at its place."""
        propensities = self.ordered.propensities
        return np.ones(len(self.order)) if propensities is None else propensities


class Unmet(NamedTuple):
    """Items that nobody has met, and how likely each was to get its place."""

    item_ids: Sequence[ItemId]
    propensity: float


NOTHING_UNMET: Final = Unmet((), 1.0)


def listed_of(ranked: Ranked, live: LiveModels) -> list[str]:
    """The ranked items that make the list, best first."""
    item_id = live.online.vocabulary.item_id
    return [item_id(code) for code in ranked.candidates.codes[ranked.order].tolist()]


def items_of(
    ranked: Sequence[Ranked],
    queries: Sequence[Query],
    live: LiveModels,
    list_size: int,
    unmet: Sequence[Unmet],
) -> list[tuple[RecommendedItem, ...]]:
    """Return the items of each list, as they are to be shown.

    Args:
        ranked: The candidates of each.
        queries: The moment of each.
        live: The models.
        list_size: Most items.
        unmet: Of each, items that nobody has met; they take the last places.
    """
    orders = [
        one.order[: list_size - len(new.item_ids)] for one, new in zip(ranked, unmet, strict=True)
    ]
    codes, sizes = joined(
        [one.candidates.codes[order] for one, order in zip(ranked, orders, strict=True)]
    )
    asked = Questions(queries=queries, codes=codes, sizes=sizes)
    ranks = [one.candidates.ranks[order] for one, order in zip(ranked, orders, strict=True)]
    sources = _first_sources(np.concatenate(ranks), live.sources)
    causes = live.online.covisitation.causes(asked).tolist()
    lists = []
    for index, (one, query, order, new) in enumerate(
        zip(ranked, queries, orders, unmet, strict=True)
    ):
        part, scores = asked.part(index), one.scores[order].tolist()
        met = _met(
            codes[part].tolist(),
            scores,
            one.propensities[: len(order)].tolist(),
            sources[part],
            causes[part],
            query,
            live,
        )
        lists.append((*met, *_new(new, scores, len(met))))
    return lists


def _met(
    codes: Sequence[int],
    scores: Sequence[float],
    propensities: Sequence[float],
    sources: Sequence[str],
    causes: Sequence[int],
    query: Query,
    live: LiveModels,
) -> list[RecommendedItem]:
    item_id = live.online.vocabulary.item_id
    items: list[RecommendedItem] = []
    num_reasons = 0
    for position, (code, score, propensity, source, cause) in enumerate(
        zip(codes, scores, propensities, sources, causes, strict=True), start=1
    ):
        reason = _reason(source, cause, query, live) if num_reasons < MAX_REASONS else None
        num_reasons += reason is not None
        items.append(
            RecommendedItem(
                item_id=ItemId(item_id(code)),
                score=score,
                source=source,
                reason=reason,
                position=position,
                propensity=propensity,
            )
        )
    return items


def _new(unmet: Unmet, scores: Sequence[float], num_met: int) -> list[RecommendedItem]:
    score = scores[-1] if scores else 0.0
    return [
        RecommendedItem(
            item_id=item_id,
            score=score,
            source=FRESH,
            position=position,
            propensity=unmet.propensity,
        )
        for position, item_id in enumerate(unmet.item_ids, start=num_met + 1)
    ]


def _first_sources(ranks: npt.NDArray[np.int32], sources: Sequence[Source]) -> list[str]:
    """The source that ranked each item best; of equals one that can say why, then the earlier."""
    names = [source.name for source in sources]
    handicap = np.array([name not in _CAUSED for name in names], np.int64)
    places = np.where(ranks > 0, 2 * ranks.astype(np.int64) + handicap, np.iinfo(np.int64).max)
    return [names[column] for column in places.argmin(axis=1).tolist()]


def _reason(source: str, cause: int, query: Query, live: LiveModels) -> str | None:
    """The item that caused a proposal: what it followed, or what the user last acted on."""
    if source not in _CAUSED:
        return None
    if cause < 0 and source == TRANSFORMER:
        cause = next((code for code in query.previous if code >= 0), -1)
    return live.online.vocabulary.item_id(cause) if cause >= 0 else None
