"""Which partition a user's events belong to: Kafka's default partitioner, murmur2."""

from functools import lru_cache
from typing import Final

_MULTIPLIER: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_WORD: Final = 0xFFFFFFFF


@lru_cache(maxsize=1 << 16)
def partition_of(user_id: str, num_partitions: int) -> int:
    """Return the partition that Kafka's clients choose for the key `user_id`.

    The same as of the Java client, kafka-python and aiokafka; librdkafka (kcat) needs
    `partitioner=murmur2_random` for it.

    >>> partition_of("u1", 12)
    4
    """
    return (murmur2(user_id.encode()) & 0x7FFFFFFF) % num_partitions


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
