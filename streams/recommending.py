"""How do ranked candidates become the items of a list, each with its source and its reason?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.events import ItemId
from featurestore.lists import RecommendedItem
from models.retrieval import Candidates, Query, Source
from streams.live import TRANSFORMER, LiveModels

FRESH: Final = "fresh"
_CAUSED: Final = frozenset({"covisitation", TRANSFORMER})
"""Sources whose proposals have a cause among the user's items."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A request's candidates, and which of them make the list.

    Attributes:
        candidates: All of them.
        scores: float64[N], by which they were ordered.
        order: int64[L], the list as indices into the candidates.
        features_NF: float32, the next head's inputs where they are to be logged.
    """

    candidates: Candidates
    scores: npt.NDArray[np.float64]
    order: npt.NDArray[np.int64]
    features_NF: npt.NDArray[np.float32] | None


def items_of(
    ranked: Ranked, query: Query, live: LiveModels, list_size: int, unmet: Sequence[ItemId]
) -> tuple[RecommendedItem, ...]:
    """Return the items of the list, best first.

    Args:
        ranked: The candidates.
        query: The moment.
        live: The models.
        list_size: Most items.
        unmet: Items that nobody has met; they take the last places.
    """
    order, vocabulary = ranked.order[: list_size - len(unmet)], live.online.vocabulary
    codes = ranked.candidates.codes[order]
    sources = _first_sources(ranked.candidates.ranks[order], live.sources)
    causes = live.online.covisitation.causes(query.previous, codes, query.now_ms).tolist()
    scores = ranked.scores[order].tolist()
    met = [
        RecommendedItem(
            item_id=ItemId(vocabulary.item_id(code)),
            score=score,
            source=source,
            reason=_reason(source, cause, query, live),
            position=position,
        )
        for position, (code, score, source, cause) in enumerate(
            zip(codes.tolist(), scores, sources, causes, strict=True), start=1
        )
    ]
    new = [
        RecommendedItem(
            item_id=item_id, score=scores[-1] if scores else 0.0, source=FRESH, position=position
        )
        for position, item_id in enumerate(unmet, start=len(met) + 1)
    ]
    return (*met, *new)


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
