"""How do a slate and a moment become the click head's inputs, at impressions and at serving alike?

Shown items get the very scores and numbers that they would have got as candidates at that moment:
both ways lead through `SlatesInput` and the one feature function. What an impression says of its
items (a price) wins over what the catalogue says of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.columns import KEY_BYTES
from featurestore.events import Impression, ShownItem
from featurestore.features import FeatureLayout, SlateFeatures, SlatesInput, slates_features
from featurestore.keys import item_keys
from models.retrieval import Candidates, Query, Questions, score
from streams.live import LiveModels
from streams.queries import Asked

_NUM_RECENT: Final = 20
"""Actions whose items' categories tell what the user is looking at."""
_BATCH: Final = 64
"""Impressions that are featured together: more would leave the processor's cache."""


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

    def of_impressions(
        self,
        asked: Sequence[Asked],
        events: Sequence[Impression],
        queries: Sequence[Query],
        live: LiveModels,
    ) -> list[SlateFeatures]:
        """Return the features of what was shown, each on the user's state just before.

        Args:
            asked: The moments.
            events: What was shown at each.
            queries: What the sources know at each.
            live: The models.
        """
        features: list[SlateFeatures] = []
        for start in range(0, len(events), _BATCH):
            part = slice(start, start + _BATCH)
            features += self._of_some(asked[part], events[part], queries[part], live)
        return features

    def _of_some(
        self,
        asked: Sequence[Asked],
        events: Sequence[Impression],
        queries: Sequence[Query],
        live: LiveModels,
    ) -> list[SlateFeatures]:
        items = [shown for event in events for shown in event.items]
        keys = item_keys([shown.item_id for shown in items])
        rows = live.catalogue.rows_of(keys)
        questions = Questions(
            queries=queries,
            codes=live.online.vocabulary.codes(keys.tolist()),
            sizes=np.array([len(event.items) for event in events], np.int64),
        )
        relevance, examination = self._features(
            asked,
            questions,
            keys=keys,
            rows=rows,
            positions=np.array([shown.position for shown in items], np.int32),
            numeric=_over(live.catalogue.numeric(rows), items, self.layout.config.numeric),
            scores=score([live.sources[column] for column in self._columns], questions),
            live=live,
        )
        parts = map(questions.part, range(len(events)))
        return [SlateFeatures(relevance[part], examination[part]) for part in parts]

    def of_candidates(
        self,
        asked: Sequence[Asked],
        candidates: Candidates,
        live: LiveModels,
    ) -> SlateFeatures:
        """Return the features of what is to be ranked, end to end; no position is known.

        Args:
            asked: The moments.
            candidates: Of each, with their scores.
            live: The models.
        """
        rows = live.rows.of_codes(candidates.codes)
        return self._features(
            asked,
            candidates.asked,
            keys=live.online.vocabulary.keys[candidates.codes],
            rows=rows,
            positions=None,
            numeric=live.catalogue.numeric(rows),
            scores=candidates.scores[:, self._columns],
            live=live,
        )

    def _features(
        self,
        asked: Sequence[Asked],
        questions: Questions,
        *,
        keys: npt.NDArray[np.uint64],
        rows: npt.NDArray[np.int64],
        positions: npt.NDArray[np.int32] | None,
        numeric: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        live: LiveModels,
    ) -> SlateFeatures:
        catalogue, online = live.catalogue, live.online
        slates = SlatesInput(
            sizes=questions.sizes,
            keys=keys,
            positions=positions,
            numeric=numeric,
            contexts=[one.context or {} for one in asked],
            source_scores=scores,
            statistics=online.statistics.features(questions.codes, questions.now_ms),
            ages_s=live.ages_s(rows, questions.codes, questions.now_ms),
            categories=catalogue.categories(rows),
            recent_categories=_recent_categories(asked, live),
        )
        return slates_features(self.layout, [one.state for one in asked], slates)


def _recent_categories(asked: Sequence[Asked], live: LiveModels) -> list[npt.NDArray[np.int32]]:
    """The categories of the items that each user acted upon last."""
    recent = [one.state.actions.keys[-_NUM_RECENT * KEY_BYTES :] for one in asked]
    keys = np.frombuffer(b"".join(recent), "<u4")
    categories = live.catalogue.categories(live.catalogue.rows_of(keys))
    ends = np.cumsum([len(one) // KEY_BYTES for one in recent])
    return np.split(categories, ends[:-1])


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
