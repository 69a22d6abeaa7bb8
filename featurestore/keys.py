"""How things are named: the item keys inside states, and the keys in Redis.

The grammar of the Redis keys, with encodings, lifetimes, writers and readers, is
docs/redis-keys.md.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

NO_ITEM: Final = 0
"""The item key of an action that has no item; no item's key."""

RECOMMENDATIONS_POPULAR: Final = b"rec:popular"
LEARNER_BASE: Final = b"learner:base"
LEARNER_DELTAS: Final = b"learner:deltas"


@lru_cache(maxsize=1 << 18)
def item_key(item_id: str) -> int:
    """Hash an item id to the 32-bit key by which user states know the item; never 0.

    A hash and not a code of some vocabulary, so that a state is a function of its events alone.
    Of n items about n²/2³³ pairs share a key (docs/adr/0008): the two are then one
    item to the user's history and to the catalogue, never to lists or counters.
    """
    digest = blake2b(item_id.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") or 1


def item_keys(item_ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return the keys of several items, as the state's views take them."""
    return np.fromiter(map(item_key, item_ids), np.uint64, len(item_ids))


def checkpoint_key(topic: str, partition: int) -> bytes:
    """Where the offset stands up to which a partition's states and lists are written."""
    return b"ck:{%b-%d}" % (topic.encode(), partition)


def state_key(topic: str, partition: int, user_id: str) -> bytes:
    """Where a user's state stands: on the Redis Cluster node of the partition's checkpoint."""
    return b"us:{%b-%d}:%b" % (topic.encode(), partition, user_id.encode())


def state_keys(topic: str, partition: int, user_ids: Iterable[str]) -> list[bytes]:
    """Where the states of several users of a partition stand, in their order.

    >>> state_keys("events", 3, ["u1"]) == [state_key("events", 3, "u1")]
    True
    """
    prefix = state_key(topic, partition, "")
    return [prefix + user_id.encode() for user_id in user_ids]


def partitions_key(topic: str) -> bytes:
    """Where the number of partitions is recorded with which a topic's states were written."""
    return b"partitions:%b" % topic.encode()


def popular_key(category: str) -> bytes:
    """Where an application reads what is popular of a category."""
    return b"%b:%b" % (RECOMMENDATIONS_POPULAR, category.encode())


def similar_key(item_id: str) -> bytes:
    """Where an application reads what goes with an item."""
    return b"similar:%b" % item_id.encode()


def recommendations_key(user_id: str) -> bytes:
    """Where an application reads a user's list."""
    return b"rec:%b" % user_id.encode()
