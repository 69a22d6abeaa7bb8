"""What does a user get who has no list yet? What is acted on most at this moment."""

from __future__ import annotations

from typing import Final

import numpy as np

from featurestore.catalogue import Catalogue
from featurestore.events import ItemId, UserId
from featurestore.lists import AsOf, ModelVersions, RecommendationList, RecommendedItem
from models.online import OnlineModels

_NO_USER: Final = UserId("")
_NO_PARTITION: Final = -1
_TIMES_LOOKED_AT: Final = 4
"""Of the trending items so many times a list's are looked at for some that are not withdrawn."""


def popular_list(
    online: OnlineModels,
    catalogue: Catalogue,
    *,
    num_items: int,
    config_digest: str,
    computed_at_ms: int,
) -> RecommendationList:
    """Return the trending items as a list; a function of its models, but for the wall clock.

    Its time is that of the newest event of any item, its `list_id` names the offset of `examples`
    that the counters stand for, and its `as_of` no event.

    Args:
        online: The learner's models.
        catalogue: Tells what has been withdrawn.
        num_items: At most so many.
        config_digest: Of the configuration.
        computed_at_ms: Wall clock.
    """
    vocabulary = online.vocabulary
    now_ms = int(vocabulary.last_event_ms.max(initial=0))
    codes = online.popularity.largest(_TIMES_LOOKED_AT * num_items)
    codes = codes[catalogue.available_mask(vocabulary.keys[codes])][:num_items]
    counts = online.popularity.counts(codes, now_ms) if codes.size else np.zeros(0)
    items = tuple(
        RecommendedItem(
            item_id=ItemId(vocabulary.item_id(code)),
            score=count,
            source="trending",
            position=position,
        )
        for position, (code, count) in enumerate(
            zip(codes.tolist(), counts.tolist(), strict=True), start=1
        )
    )
    return RecommendationList(
        user_id=_NO_USER,
        list_id=f"popular-{online.offset}",
        items=items,
        as_of=AsOf(partition=_NO_PARTITION, offset=-1),
        now_ms=max(now_ms, 0),
        computed_at_ms=computed_at_ms,
        models=ModelVersions(online=online.offset, items=catalogue.digest, config=config_digest),
    )
