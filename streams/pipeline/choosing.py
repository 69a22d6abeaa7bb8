"""How do moments and items become the choice head's inputs, and what is an action compared with?

Impressions, candidates and actions lead through the one feature function. An action that no list
led to (a search, a link from outside) says that its item was preferred to everything else on offer:
it is compared with a sample of that, drawn by the event's id, so that a replay draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from featurestore.actions import ActionTable, Effect
from featurestore.choice_features import ChoiceFeatures, ChoiceInput, choice_features
from featurestore.choice_layout import ChoiceLayout
from featurestore.events import Action
from featurestore.keys import NO_ITEM, item_key
from featurestore.state import UserState
from streams.pipeline.featuring import Slates
from streams.pipeline.folding import Step
from streams.pipeline.live import LiveModels
from streams.pipeline.queries import Asked

NUM_COMPARED: Final = 200
"""Items that an action's item is compared with; more teach more, at their price."""


class _Slates(NamedTuple):
    """Items of several moments, end to end."""

    sizes: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    codes: npt.NDArray[np.integer]
    rows: npt.NDArray[np.int64]


class ChoiceFeaturer:
    """The choice head's features under one layout."""

    def __init__(self, layout: ChoiceLayout, table: ActionTable) -> None:
        """Fix what the indices mean.

        Args:
            layout: Which index means what.
            table: Which actions are positive.
        """
        self.layout = layout
        self._table = table

    def of(self, asked: Sequence[Asked], slates: Slates, live: LiveModels) -> ChoiceFeatures:
        """Return the features of all items, end to end.

        Args:
            asked: The moments; of an impression, that just before it.
            slates: The items of each.
            live: The models.
        """
        questions = slates.questions
        of_moments = _Slates(questions.sizes, slates.keys, questions.codes, slates.rows)
        return self._features(asked, of_moments, live)

    def of_actions(self, steps: Sequence[Step], live: LiveModels) -> dict[int, ChoiceFeatures]:
        """Return, by offset, the features of actions that no list led to.

        Each begins with the item that was acted upon; the others are of the sample.
        """
        chosen = [(step, key) for step in steps if (key := self._free_choice(step)) is not None]
        if not chosen:
            return {}
        slates = [_compared(key, step.event.event_id, live) for step, key in chosen]
        asked = [
            Asked(step.event.user_id, step.before, step.clock_ms, step.event.context)
            for step, _ in chosen
        ]
        keys = np.concatenate(slates)
        sizes = np.array([len(one) for one in slates], np.int64)
        codes = live.online.vocabulary.codes(keys.tolist())
        met = _Slates(sizes, keys, codes, live.catalogue.rows_of(keys))
        features = self._features(asked, met, live)
        return {
            step.record.offset: features.part(slice(end - size, end))
            for (step, _), size, end in zip(
                chosen, sizes.tolist(), sizes.cumsum().tolist(), strict=True
            )
        }

    def _free_choice(self, step: Step) -> int | None:
        """The key of an action's item, if it is the first on it and no slate will claim it."""
        event = step.event
        if not isinstance(event, Action) or event.item_id is None:
            return None
        spec = self._table.spec(event.action)
        if event.request_id or event.list_id or spec.effect is not Effect.POSITIVE:
            return None
        key = item_key(event.item_id)
        keys = np.array([key], np.uint64)
        # Only what certainly belongs to a slate may be left out: leaving out every item that was
        # shown of late would leave out the popular ones.
        claimed = spec.is_label and step.before.shown_counts(keys)[0] > 0
        return None if claimed or step.before.acted_mask(keys)[0] else key

    def _features(
        self, asked: Sequence[Asked], slates: _Slates, live: LiveModels
    ) -> ChoiceFeatures:
        now_ms = np.array([one.now_ms for one in asked], np.int64)
        last = [self._last_key(one.state) for one in asked]
        last_rows = live.catalogue.rows_of(np.array(last, np.uint64))
        return choice_features(
            self.layout,
            [one.state for one in asked],
            ChoiceInput(
                sizes=slates.sizes,
                keys=slates.keys,
                kinds=live.catalogue.kinds(slates.rows),
                ages_s=live.ages_s(slates.rows, slates.codes, now_ms.repeat(slates.sizes)),
                users=np.array([crc32(one.user_id.encode()) for one in asked], np.uint64),
                last_kinds=live.catalogue.kinds(last_rows),
                gaps_ms=np.maximum(
                    now_ms - 1000.0 * np.array([one.state.last_action_s for one in asked]), 0.0
                ),
            ),
        )

    def _last_key(self, state: UserState) -> int:
        keys = state.previous_positive_keys(1, self._table)
        return keys[0] if keys else NO_ITEM


def _compared(own: int, event_id: str, live: LiveModels) -> npt.NDArray[np.uint64]:
    """The key of an action's item, and those of the items that it is compared with."""
    draws = np.random.default_rng(crc32(event_id.encode()))
    # Not of the items that somebody has met: among them those acted upon early would be too many.
    others = live.catalogue.sample(draws, NUM_COMPARED)
    return np.concatenate([np.array([own], np.uint64), others[others != own]])
