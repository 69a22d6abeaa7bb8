"""What an application reads: a user's list of recommendations, as JSON.

What goes without saying is left out, because the list is the larger half of a user's memory
(docs/adr/0009): an item's `position` where it is the place in the array, its `propensity`
where it is 1, its `reason` where there is none.
"""

import math
import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from featurestore.errors import FeatureStoreError
from featurestore.events import ItemId, UserId

EXPLORED: Final = "-x"
"""Ends the id of a list that was drawn, so that impressions and actions that echo it tell."""
_LIST_ID: Final = re.compile(r"\d+-\d+(-x)?")

RERANKER: Final = "reranker"
"""The head that orders lists unless another one is configured."""

ListOrder = Literal["ranked", "explored"]
"""Whether a list has the best first, or was drawn."""


class ListCorrupt(FeatureStoreError):
    """Bytes that are no list of recommendations."""


class RecommendedItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One item of a list.

    Attributes:
        item_id: the item.
        score: of the ranker, comparable within the list only; 4 significant digits are written.
        source: which recall source brought it first.
        reason: the item that caused it, where the source has one.
        position: 1 is the first place.
        propensity: how likely the item was to stand at this position; 1 for a fixed order. 4
            significant digits are written.
    """

    item_id: ItemId
    score: float
    source: str
    reason: str | None = None
    position: int
    propensity: float = 1.0


class AsOf(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The event up to which, and with which, the user's state was folded for a list."""

    partition: int
    offset: int


class ModelVersions(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What computed a list: replaying to these versions gives the same list.

    Attributes:
        online: offset in `examples` that the online models stood for (exclusive).
        bundles: short digest of each bundle in use, by the source that asks it or the ranker that
            ordered by it; not written where there is none.
        head: what ordered the list; not written where it was the re-ranker, which also stands in
            for a configured ranker while there is no bundle of it.
        items: digest of the catalogue.
        config: digest of the configuration.
    """

    online: int
    bundles: Mapping[str, str] = msgspec.field(default_factory=dict)
    head: str = RERANKER
    items: str
    config: str


class RecommendationList(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A user's list and where it comes from.

    Attributes:
        user_id: whose.
        list_id: partition-offset of the event that caused it, and `EXPLORED` where the list was
            drawn; impressions echo it.
        items: as they are to be shown; best first unless drawn.
        as_of: the state it was computed from.
        now_ms: the user's clock at that state.
        computed_at_ms: wall clock.
        models: the versions used.
    """

    user_id: UserId
    list_id: str
    items: tuple[RecommendedItem, ...]
    as_of: AsOf
    now_ms: int
    computed_at_ms: int
    models: ModelVersions

    @property
    def order(self) -> ListOrder:
        """Whether the best come first, or the list was drawn."""
        return "explored" if self.list_id.endswith(EXPLORED) else "ranked"


def order_of(list_id: str) -> ListOrder | None:
    """How a user's list that is named so was ordered; None where it is no such name.

    >>> order_of("3-1207"), order_of("3-1207-x"), order_of("popular-9")
    ('ranked', 'explored', None)
    """
    named = _LIST_ID.fullmatch(list_id)
    if named is None:
        return None
    return "explored" if named[1] else "ranked"


class _WrittenItem(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    item_id: ItemId
    score: float
    source: str
    reason: str | None = None
    position: int | None = None
    propensity: float | None = None


class _WrittenList(msgspec.Struct, kw_only=True, gc=False):
    user_id: UserId
    list_id: str
    items: list[_WrittenItem]
    as_of: AsOf
    now_ms: int
    computed_at_ms: int
    models: ModelVersions


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_WrittenList)


def encode_list(recommendations: RecommendationList) -> bytes:
    """Write a list as the JSON that applications read.

    Raises:
        ValueError: for a score that is no number; JSON has none for it.
    """
    return _encoder.encode(
        _WrittenList(
            user_id=recommendations.user_id,
            list_id=recommendations.list_id,
            items=[
                _written(item, place) for place, item in enumerate(recommendations.items, start=1)
            ],
            as_of=recommendations.as_of,
            now_ms=recommendations.now_ms,
            computed_at_ms=recommendations.computed_at_ms,
            models=recommendations.models,
        )
    )


def decode_list(value: bytes) -> RecommendationList:
    """Read a list, with what was left out filled in.

    Raises:
        ListCorrupt: if it is not the JSON that `encode_list` writes.
    """
    try:
        written = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ListCorrupt(
            f"found {len(value)} bytes that are no list ({error}); it is written anew with the "
            "user's next action or visit"
        ) from error
    return RecommendationList(
        user_id=written.user_id,
        list_id=written.list_id,
        items=tuple(_read(item, place) for place, item in enumerate(written.items, start=1)),
        as_of=written.as_of,
        now_ms=written.now_ms,
        computed_at_ms=written.computed_at_ms,
        models=written.models,
    )


def _written(item: RecommendedItem, place: int) -> _WrittenItem:
    if not math.isfinite(item.score):
        raise ValueError(f"item {item.item_id!r} has score {item.score}, expected a finite one")
    return _WrittenItem(
        item_id=item.item_id,
        score=float(f"{item.score:.4g}"),
        source=item.source,
        reason=item.reason,
        position=None if item.position == place else item.position,
        propensity=None if item.propensity == 1 else float(f"{item.propensity:.4g}"),
    )


def _read(item: _WrittenItem, place: int) -> RecommendedItem:
    return RecommendedItem(
        item_id=item.item_id,
        score=item.score,
        source=item.source,
        reason=item.reason,
        position=place if item.position is None else item.position,
        propensity=1.0 if item.propensity is None else item.propensity,
    )
