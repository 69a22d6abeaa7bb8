"""How do a slate and a moment become the click head's inputs, at impressions and at serving alike?

Shown items get the very scores and numbers that they would have got as candidates at that moment:
both ways lead through `SlateInput` and the one feature function. What an impression says of its
items (a price) wins over what the catalogue says of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.events import Impression, ShownItem
from featurestore.features import FeatureLayout, SlateFeatures, SlateInput, slate_features
from featurestore.keys import item_keys
from models.retrieval import Candidates, Query, score
from streams.live import LiveModels
from streams.queries import Asked

_NUM_RECENT: Final = 20
"""Actions whose items' categories tell what the user is looking at."""


class Featurer:
    """The click head's features under one layout."""

    def __init__(self, layout: FeatureLayout, all_source_names: Sequence[str]) -> None:
        """Choose the layout's columns among all sources.

        Args:
            layout: Which index means what.
            all_source_names: Of all sources, in the order of the columns of scores.
        """
        self.layout = layout
        self._columns = [list(all_source_names).index(name) for name in layout.source_names]

    def of_impression(
        self, asked: Asked, event: Impression, query: Query, live: LiveModels
    ) -> SlateFeatures:
        """Return the features of what was shown, on the state just before."""
        keys = item_keys([shown.item_id for shown in event.items])
        codes = live.online.vocabulary.codes(keys.tolist())
        rows = live.catalogue.rows_of(keys)
        numeric = live.catalogue.numeric(rows)
        return slate_features(
            self.layout,
            asked.state,
            self._slate(
                asked,
                keys=keys,
                codes=codes,
                rows=rows,
                positions=np.array([shown.position for shown in event.items], np.int32),
                numeric=_over(numeric, event.items, self.layout.config.numeric),
                scores=score([live.sources[column] for column in self._columns], query, codes),
                live=live,
            ),
        )

    def of_candidates(
        self,
        asked: Asked,
        keys: npt.NDArray[np.uint64],
        rows: npt.NDArray[np.int64],
        candidates: Candidates,
        live: LiveModels,
    ) -> SlateFeatures:
        """Return the features of what is to be ranked; no position is known.

        Args:
            asked: The moment.
            keys: Of the candidates.
            rows: Of the catalogue.
            candidates: With their scores.
            live: The models.
        """
        return slate_features(
            self.layout,
            asked.state,
            self._slate(
                asked,
                keys=keys,
                codes=candidates.codes,
                rows=rows,
                positions=None,
                numeric=live.catalogue.numeric(rows),
                scores=candidates.scores[:, self._columns],
                live=live,
            ),
        )

    def _slate(
        self,
        asked: Asked,
        *,
        keys: npt.NDArray[np.uint64],
        codes: npt.NDArray[np.int32],
        rows: npt.NDArray[np.int64],
        positions: npt.NDArray[np.int32] | None,
        numeric: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        live: LiveModels,
    ) -> SlateInput:
        catalogue, online = live.catalogue, live.online
        return SlateInput(
            keys=keys,
            positions=positions,
            numeric=numeric,
            context=asked.context or {},
            source_scores=scores,
            statistics=online.statistics.features(codes, asked.now_ms),
            ages_s=_ages_s(rows, codes, asked.now_ms, live),
            categories=catalogue.categories(rows),
            recent_categories=catalogue.categories(
                catalogue.rows_of(asked.state.history(_NUM_RECENT).keys)
            ),
        )


def _over(
    numeric: npt.NDArray[np.float32], items: Sequence[ShownItem], names: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Put what the event says of its items over what the catalogue says."""
    for row, shown in enumerate(items):
        if shown.features:
            for column, name in enumerate(names):
                if name in shown.features:
                    numeric[row, column] = shown.features[name]
    return numeric


def _ages_s(
    rows: npt.NDArray[np.int64], codes: npt.NDArray[np.int32], now_ms: int, live: LiveModels
) -> npt.NDArray[np.float64]:
    """Seconds since publication, or since the item first appeared where that is not known."""
    appeared = live.online.fresh.ages_ms(codes, now_ms) / 1000
    published = live.catalogue.published_at_ms(rows)
    return np.where(published > 0, np.maximum(now_ms - published, 0) / 1000, appeared)
