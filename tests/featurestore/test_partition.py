"""The partitioner must agree with Kafka's clients to the last user."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from featurestore.partition import murmur2, murmur2_of_rows, partition_of, partitions_of


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=40))
def test_the_hash_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == kafka_murmur2(data) & 0xFFFFFFFF


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 13), st.integers(1, 5), st.randoms(use_true_random=False))
def test_many_hashes_are_those_of_each(num_bytes: int, num: int, random_: random.Random) -> None:
    rows = [random_.randbytes(num_bytes) for _ in range(num)]
    data = np.frombuffer(b"".join(rows), np.uint8).reshape(num, num_bytes)
    assert murmur2_of_rows(data).tolist() == [murmur2(row) for row in rows]


@pytest.mark.parametrize("num", [1, 31, 500])
def test_many_partitions_are_those_of_each(num: int) -> None:
    generator = random.Random(11)
    user_ids = [
        "".join(generator.choices("abcé0123456789-", k=generator.choice([3, 16, 16, 16, 16, 21])))
        for _ in range(num)
    ]
    assert partitions_of(user_ids, 12) == [partition_of(user_id, 12) for user_id in user_ids]


def test_the_partition_is_that_of_kafka_python() -> None:
    generator = random.Random(7)
    for _ in range(2_000):
        user_id = "".join(generator.choices("abcé0123456789-", k=generator.randint(1, 20)))
        num_partitions = generator.randint(1, 40)
        expected = (kafka_murmur2(user_id.encode()) & 0x7FFFFFFF) % num_partitions
        assert partition_of(user_id, num_partitions) == expected


def test_partitions_of_the_java_client_are_reproduced() -> None:
    """Values of org.apache.kafka.common.utils.Utils.murmur2, from Kafka's own UtilsTest."""
    java = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {data: murmur2(data) for data in java} == {
        data: value & 0xFFFFFFFF for data, value in java.items()
    }
