"""Which partition a user's events belong to: Kafka's default partitioner, murmur2."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

_MULTIPLIER: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_WORD: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF
_MANY: Final = 32
"""From so many ids of one length on, hashing all at once is faster."""


@lru_cache(maxsize=1 << 16)
def partition_of(user_id: str, num_partitions: int) -> int:
    """Return the partition that Kafka's clients choose for the key `user_id`.

    The same as of the Java client, kafka-python and aiokafka; librdkafka (kcat) needs
    `partitioner=murmur2_random` for it.

    >>> partition_of("u1", 12)
    4
    """
    return (murmur2(user_id.encode()) & _POSITIVE) % num_partitions


def partitions_of(user_ids: Sequence[str], num_partitions: int) -> list[int]:
    """Return the partition of each user; of many for a small part of what one costs.

    >>> partitions_of(["u1", "u2"] * 20, 12)[:2] == [partition_of("u1", 12), partition_of("u2", 12)]
    True
    """
    if len(user_ids) < _MANY:
        return [partition_of(user_id, num_partitions) for user_id in user_ids]
    keys = [user_id.encode() for user_id in user_ids]
    of_length: defaultdict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        of_length[len(key)].append(place)
    partitions = np.empty(len(keys), np.int64)
    for num_bytes, places in of_length.items():
        if len(places) < _MANY:
            partitions[places] = [partition_of(user_ids[at], num_partitions) for at in places]
        else:
            joined = b"".join([keys[at] for at in places])
            hashed = murmur2_of_rows(np.frombuffer(joined, np.uint8).reshape(-1, num_bytes))
            partitions[places] = (hashed & np.uint32(_POSITIVE)) % num_partitions
    owners: list[int] = partitions.tolist()
    return owners


def murmur2(data: bytes) -> int:
    """Hash `data` to 32 bits, with the seed that Kafka uses.

    Austin Appleby's MurmurHash2 (2008), little-endian words.
    """
    num_bytes = len(data)
    hashed = _SEED ^ num_bytes
    tail_at = num_bytes & ~3
    for at in range(0, tail_at, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _MULTIPLIER & _WORD
        word = (word ^ word >> 24) * _MULTIPLIER & _WORD
        hashed = hashed * _MULTIPLIER & _WORD ^ word
    if tail_at < num_bytes:
        hashed = (hashed ^ int.from_bytes(data[tail_at:], "little")) * _MULTIPLIER & _WORD
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _WORD
    return hashed ^ hashed >> 15


def murmur2_of_rows(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Hash each row of uint8[N, K] to 32 bits as `murmur2` does, each step for all at once."""
    num_rows, num_bytes = data.shape
    words = np.zeros((num_rows, (num_bytes + 3) & ~3), np.uint8)
    words[:, :num_bytes] = data
    columns = words.view("<u4").T
    multiplier = np.uint32(_MULTIPLIER)
    hashed: npt.NDArray[np.uint32] = np.full(num_rows, _SEED ^ num_bytes, np.uint32)
    for word in columns[: num_bytes // 4] * multiplier:
        hashed = hashed * multiplier ^ (word ^ word >> np.uint32(24)) * multiplier
    if num_bytes % 4:
        hashed = (hashed ^ columns[-1]) * multiplier
    hashed = (hashed ^ hashed >> np.uint32(13)) * multiplier
    return hashed ^ hashed >> np.uint32(15)
