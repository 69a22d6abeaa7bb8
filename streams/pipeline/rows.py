"""How does an event become a row of `examples`?

Pure. Rows name their items by index into the record's list of items, each item once.
"""

from __future__ import annotations

import itertools
import struct
from functools import lru_cache
from typing import Final

import numpy as np

from featurestore.actions import ActionTable, Effect
from featurestore.choice_features import ChoiceFeatures
from featurestore.events import Action, Context, Impression
from featurestore.keys import item_key, item_keys
from featurestore.state import UserState
from models.online.context_popularity import circumstances
from models.online.questions import MAX_PREVIOUS
from streams.examples import (
    NO_ITEM,
    ActionRow,
    ChoiceRow,
    ImpressionRow,
    RivalRow,
    SlateRow,
    VisitRow,
)
from streams.pipeline.folding import Step
from streams.pipeline.list_requests import LoggedSlate, RivalLists, ShownFeatures
from streams.sections import ContributionConfig

_PACKED: Final = [struct.Struct(f"<{num}Q").pack for num in range(MAX_PREVIOUS + 1)]
_NOTHING: Final[dict[str, str]] = {}
# Bound for `action_row`: asking a class of the enum module for a member costs a call.
_POSITIVE: Final = Effect.POSITIVE
_MISSING: Final = object()


class ItemIndex:
    """The items of one record, in the order of first mention."""

    __slots__ = ("_index",)

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def of(self, item_id: str) -> int:
        """Return the item's index, a new one at its first mention."""
        return self._index.setdefault(item_id, len(self._index))

    def items(self) -> list[str]:
        """All items, by index."""
        return list(self._index)


def action_row(
    step: Step,
    event: Action,
    table: ActionTable,
    contexts: tuple[str, ...],
    contribution: ContributionConfig,
    items: ItemIndex,
) -> ActionRow:
    """Return an action's row; one that is not positive weighs nothing.

    Args:
        step: The action, with the states around it.
        event: The action.
        table: What it means.
        contexts: Names of the context values that are kept.
        contribution: How often an item counts.
        items: Of the record.
    """
    spec, item_id, previous = table.spec(event.action), event.item_id, step.previous
    is_positive = spec.effect is _POSITIVE and item_id is not None
    is_label = spec.is_label and item_id is not None
    return ActionRow(
        step.record.offset,
        step.clock_ms,
        event.user_id,
        NO_ITEM if item_id is None else items.of(item_id),
        spec.code,
        spec.weight if is_positive else 0.0,
        is_label,
        event.request_id or "",
        event.list_id or "",
        _PACKED[len(previous)](*previous),
        _kept(step, event.context, contexts) if is_positive else _NOTHING,
        item_id is None or not is_positive or _counts(step, item_key(item_id), table, contribution),
        event.value if is_label else None,
    )


def visit_row(step: Step) -> VisitRow:
    """Return a visit's row."""
    return VisitRow(offset=step.record.offset, ts_ms=step.clock_ms, user_id=step.event.user_id)


def impression_row(
    step: Step,
    event: Impression,
    features: ShownFeatures,
    contribution: ContributionConfig,
    items: ItemIndex,
) -> ImpressionRow:
    """Return an impression's row; features were computed on the state before it."""
    click, choice = features.click, features.choice
    return ImpressionRow(
        offset=step.record.offset,
        ts_ms=step.clock_ms,
        user_id=event.user_id,
        request_id=event.request_id or "",
        list_id=event.list_id or "",
        items=[items.of(shown.item_id) for shown in event.items],
        positions=[shown.position for shown in event.items],
        relevance=click.relevance.astype("<i4").tobytes(),
        examination=click.examination.astype("<i4").tobytes(),
        choice=b"" if choice is None else choice.indices.astype("<i4").tobytes(),
        pull=0.0 if choice is None else float(choice.pulls[0]),
        rerank=features.rerank_NF.astype("<f4").tobytes(),
        uncounted=_uncounted(step.before, event, contribution.max_shown),
    )


def _uncounted(before: UserState, event: Impression, max_shown: int) -> list[int]:
    """The places of the items that the user had been shown too often for them to count."""
    if before.max_shown_count < max_shown:
        return []
    num_shown = before.shown_counts(item_keys([shown.item_id for shown in event.items]))
    return np.flatnonzero(num_shown >= max_shown).tolist()


def choice_row(step: Step, choice: ChoiceFeatures) -> ChoiceRow:
    """Return the row of an action that no list led to."""
    return ChoiceRow(
        offset=step.record.offset,
        ts_ms=step.clock_ms,
        user_id=step.event.user_id,
        num_items=len(choice.indices),
        choice=choice.indices.astype("<i4").tobytes(),
        pull=float(choice.pulls[0]),
    )


def slate_row(step: Step, slate: LoggedSlate, items: ItemIndex) -> SlateRow:
    """Return the row of a list's candidates, all of them, with the re-ranker's inputs."""
    return SlateRow(
        offset=step.record.offset,
        ts_ms=step.clock_ms,
        user_id=step.event.user_id,
        list_id=slate.list_id,
        items=[items.of(item_id) for item_id in slate.item_ids],
        features=slate.features_NF.astype("<f4").tobytes(),
    )


def rival_row(step: Step, rivals: RivalLists, items: ItemIndex) -> RivalRow:
    """Return the row of what two bundles made of one moment."""
    return RivalRow(
        offset=step.record.offset,
        ts_ms=step.clock_ms,
        user_id=step.event.user_id,
        challenger=rivals.challenger,
        items=[items.of(item_id) for item_id in rivals.item_ids],
        log_chances=rivals.log_chances_N2.astype("<f4").tobytes(),
        gains=rivals.gains_N2.astype("<f4").tobytes(),
        listed=[items.of(item_id) for item_id in rivals.listed],
        challenger_listed=[items.of(item_id) for item_id in rivals.challenger_listed],
    )


def _counts(step: Step, key: int, table: ActionTable, contribution: ContributionConfig) -> bool:
    """Whether the user has acted upon the item seldom enough of late."""
    since_s = (step.clock_ms - contribution.window_ms) // 1000
    return not step.before.has_repeated(key, contribution.max_actions, since_s, table)


def _kept(step: Step, context: Context | None, names: tuple[str, ...]) -> dict[str, str]:
    """The circumstances of an action that are counted; the session's step is that before it."""
    num_before = step.session_num_actions - 1 if step.session_num_actions else 0
    if not context:
        return _counted(num_before, names)
    return _counted(num_before, names, *map(context.get, names, itertools.repeat(_MISSING)))


# By the values' types, too: 1, 1.0 and true are equal, but are not told as the same.
@lru_cache(maxsize=4096, typed=True)
def _counted(num_before: int, names: tuple[str, ...], *values: object) -> dict[str, str]:
    """The same for the context's values in the order of names; few of them are new."""
    told = zip(names, values, strict=False)
    found = circumstances(
        {name: value for name, value in told if value is not _MISSING}, num_before
    )
    return {name: str(value) for name, value in found.items() if name in names}
