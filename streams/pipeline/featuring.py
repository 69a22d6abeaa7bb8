"""How do a slate and a moment become the click head's inputs, at impressions and at serving alike?

Shown items get the very scores and numbers that they would have got as candidates at that moment:
both go through `SlatesInput` and the one feature function, and in one go where both are at hand.
What an impression says of its items (a price) wins over what the catalogue says of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.events import Impression, ShownItem
from featurestore.features import FeatureLayout, SlateFeatures, SlatesInput, slates_features
from featurestore.keys import item_keys
from featurestore.state_layout import KEY_BYTES
from models.online.retrieval import Query, Questions
from streams.pipeline.live import LiveModels
from streams.pipeline.queries import Asked

_NUM_RECENT: Final = 20
"""Actions whose items' categories tell what the user is looking at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slates:
    """N items of several moments, end to end: what was shown, then what is to be ranked.

    Attributes:
        questions: Their codes (-1 for items without one), and whose they are.
        keys: uint64[N].
        rows: int64[N], of the catalogue.
        numeric: float32[N, P], what the event or the catalogue says of them.
        positions: int32[M], where the first M of them were shown.
    """

    questions: Questions
    keys: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int64]
    numeric: npt.NDArray[np.float32]
    positions: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.keys)

    def then(self, others: Slates) -> Slates:
        """These, and behind them others that were not shown."""
        return Slates(
            questions=self.questions.then(others.questions),
            keys=np.concatenate((self.keys, others.keys)),
            rows=np.concatenate((self.rows, others.rows)),
            numeric=np.concatenate((self.numeric, others.numeric)),
            positions=self.positions,
        )


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

    def shown(
        self, events: Sequence[Impression], queries: Sequence[Query], live: LiveModels
    ) -> Slates:
        """Look up what was shown.

        Args:
            events: What was shown at each moment.
            queries: What the sources know at each.
            live: The models.
        """
        items = [shown for event in events for shown in event.items]
        keys = item_keys([shown.item_id for shown in items])
        rows = live.catalogue.rows_of(keys)
        return Slates(
            questions=Questions(
                queries=queries,
                codes=live.online.vocabulary.codes(keys.tolist()),
                sizes=np.array([len(event.items) for event in events], np.int64),
            ),
            keys=keys,
            rows=rows,
            numeric=_over(live.catalogue.numeric(rows), items, self.layout.config.numeric),
            positions=np.array([shown.position for shown in items], np.int32),
        )

    def candidates(self, asked: Questions, live: LiveModels) -> Slates:
        """Look up what is to be ranked; no position is known."""
        rows = live.rows.of_codes(asked.codes)
        return Slates(
            questions=asked,
            keys=live.online.vocabulary.keys[asked.codes],
            rows=rows,
            numeric=live.catalogue.numeric(rows),
            positions=np.empty(0, np.int32),
        )

    def features(
        self,
        asked: Sequence[Asked],
        slates: Slates,
        scores: npt.NDArray[np.float32],
        live: LiveModels,
    ) -> SlateFeatures:
        """Return the features of all items, end to end.

        Args:
            asked: The moments; of an impression, that just before it.
            slates: The items of each.
            scores: float32[N, S], what every source says about them.
            live: The models.
        """
        catalogue, online, questions = live.catalogue, live.online, slates.questions
        return slates_features(
            self.layout,
            [one.state for one in asked],
            SlatesInput(
                sizes=questions.sizes,
                keys=slates.keys,
                positions=slates.positions,
                numeric=slates.numeric,
                contexts=[one.context or {} for one in asked],
                source_scores=scores[:, self._columns],
                statistics=online.statistics.features(questions.codes, questions.now_ms),
                ages_s=live.ages_s(slates.rows, questions.codes, questions.now_ms),
                categories=catalogue.categories(slates.rows),
                recent_categories=_recent_categories(asked, live),
            ),
        )


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
