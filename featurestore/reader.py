"""How does an application read a list? One round trip, with the popular list as the fall-back.

Any Redis client can do the same: `GET rec:<user_id>`, and `GET rec:popular` where that is missing
or too old; `GET rec:popular:<category>`, `GET similar:<item_id>`. This class adds decoding and the
age check, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from featurestore.keys import (
    RECOMMENDATIONS_POPULAR,
    popular_key,
    recommendations_key,
    similar_key,
)
from featurestore.lists import RecommendationList, decode_list

if TYPE_CHECKING:
    from redis import Redis


class RecommendationReader:
    """Reads recommendations for an application; holds no state and no thread of its own.

    What Redis raises goes through: an application has its own idea of what to show then.
    """

    def __init__(self, redis: Redis) -> None:
        """Use the application's own client.

        Args:
            redis: A client with `decode_responses=False` (the default).
        """
        self._redis = redis

    def get(
        self, user_id: str, *, computed_since_ms: int | None = None
    ) -> RecommendationList | None:
        """Return the user's list, or the popular one, or None where neither was written yet.

        Args:
            user_id: Whose list.
            computed_since_ms: A list that was computed before this time, in milliseconds since the
                epoch, is too old; None accepts any.

        Raises:
            ListCorrupt: Something else than Headrace wrote the key.
        """
        keys = [recommendations_key(user_id), RECOMMENDATIONS_POPULAR]
        own, popular = cast("list[bytes | None]", self._redis.mget(keys))
        if own is not None:
            recommendations = decode_list(own)
            if computed_since_ms is None or recommendations.computed_at_ms >= computed_since_ms:
                return recommendations
        return None if popular is None else decode_list(popular)

    def popular(self, category: str) -> RecommendationList | None:
        """Return what is popular of a category; None where it has no list.

        Raises:
            ListCorrupt: Something else than Headrace wrote the key.
        """
        return self._shared(popular_key(category))

    def similar(self, item_id: str) -> RecommendationList | None:
        """Return what goes with an item, the best first; None where nothing is known of it.

        Raises:
            ListCorrupt: Something else than Headrace wrote the key.
        """
        return self._shared(similar_key(item_id))

    def _shared(self, key: bytes) -> RecommendationList | None:
        value = cast("bytes | None", self._redis.get(key))
        return None if value is None else decode_list(value)
