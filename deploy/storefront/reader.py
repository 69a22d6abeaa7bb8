"""How does the shop read a list? One round trip to Redis, as an application would do it."""

from __future__ import annotations

from typing import cast

import msgspec
import redis

from deploy.storefront.policies import ReadList

# A page cannot wait longer than this for its list; the popular one stands in.
_DEADLINE_S = 0.5


class _Item(msgspec.Struct, frozen=True):
    item_id: str
    propensity: float | None = None


class _List(msgspec.Struct, frozen=True):
    list_id: str
    items: list[_Item]


class RecommendationReader:
    """Reads `rec:<user_id>`, and `rec:popular` for shoppers who have none.

    Attributes:
        num_personal: lists found under the shopper's own key.
        num_popular: times `rec:popular` stood in.
        num_absent: times neither was there.
        num_errors: times Redis did not answer in time or the value could not be read.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=_DEADLINE_S, socket_connect_timeout=_DEADLINE_S
        )
        self._decode = msgspec.json.Decoder(_List).decode
        self.num_personal = self.num_popular = self.num_absent = self.num_errors = 0

    def read(self, user_id: str, now_ms: int) -> ReadList | None:  # noqa: ARG002 - a page's time
        """Return the list to show, or None where there is none or Redis does not answer."""
        try:
            own, popular = cast(
                "list[bytes | None]", self._redis.mget(f"rec:{user_id}", "rec:popular")
            )
            value = own or popular
            if value is None:
                self.num_absent += 1
                return None
            answer = self._decode(value)
        except (redis.RedisError, msgspec.DecodeError):
            self.num_errors += 1
            return None
        if own:
            self.num_personal += 1
        else:
            self.num_popular += 1
        return ReadList(
            list_id=answer.list_id,
            item_ids=[item.item_id for item in answer.items],
            propensities=[item.propensity for item in answer.items],
        )

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
