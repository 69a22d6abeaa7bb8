"""How does an event become a row of `examples`?

Pure. Rows name their items by index into the record's list of items, each item once.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from featurestore.actions import ActionTable, Effect
from featurestore.choice_features import ChoiceFeatures
from featurestore.events import Action, Context, Impression
from featurestore.keys import item_key, item_keys
from featurestore.state import UserState
from models.online.context_popularity import MAX_STEP, circumstances
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


class LearnedContexts(NamedTuple):
    """Names of the context values that rows keep.

    Attributes:
        of_positives: Of positive actions: what counters or models learn from.
        of_others: Of other actions and of visits: what models learn from.
    """

    of_positives: tuple[str, ...]
    of_others: tuple[str, ...]


def action_row(
    step: Step,
    event: Action,
    table: ActionTable,
    contexts: LearnedContexts,
    contribution: ContributionConfig,
    items: ItemIndex,
) -> ActionRow:
    """Return an action's row; one that is not positive weighs nothing.

    Args:
        step: The action, with the states around it.
        event: The action.
        table: What it means.
        contexts: What is kept of the event's.
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
        _circumstances(step, event.context, contexts.of_positives)
        if is_positive
        else _kept(event.context, contexts.of_others),
        item_id is None or not is_positive or _counts(step, item_key(item_id), table, contribution),
        event.value if is_label else None,
    )


def visit_row(step: Step, contexts: LearnedContexts) -> VisitRow:
    """Return a visit's row."""
    return VisitRow(
        offset=step.record.offset,
        ts_ms=step.clock_ms,
        user_id=step.event.user_id,
        context=_kept(step.event.context, contexts.of_others),
    )


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


def _circumstances(step: Step, context: Context | None, names: tuple[str, ...]) -> dict[str, str]:
    """The circumstances of a positive action; the session's step is that before it."""
    num_before = min(max(step.session_num_actions - 1, 0), MAX_STEP)
    return _texts(names, num_before, *map((context or _NOTHING).get, names))


def _kept(context: Context | None, names: tuple[str, ...]) -> dict[str, str]:
    """The values of an event's context that it tells."""
    return _texts(names, None, *map(context.get, names)) if context and names else _NOTHING


# By the values' types, too: 1, 1.0 and true are equal, but are not told as the same.
@lru_cache(maxsize=4096, typed=True)
def _texts(names: tuple[str, ...], num_before: int | None, *values: object) -> dict[str, str]:
    """What is told as text, of values in the order of names; few of them are new."""
    told = dict(zip(names, values, strict=True))
    found = told if num_before is None else circumstances(told, num_before)
    return {
        name: str(value) for name, value in found.items() if name in names and value is not None
    }
