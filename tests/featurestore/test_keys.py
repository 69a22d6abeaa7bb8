"""Item keys and the Redis key grammar: both are written, so both are pinned."""

import numpy as np

from featurestore.keys import (
    checkpoint_key,
    item_key,
    item_keys,
    partitions_key,
    recommendations_key,
    state_key,
)


def test_an_items_key_never_changes() -> None:
    assert item_key("i1") == 0xF465DB21
    assert item_key("grünkohl") == 0x6F206868


def test_keys_of_several_items_come_in_their_order() -> None:
    assert item_keys(["i1", "i2", "i1"]).tolist() == [
        item_key("i1"),
        item_key("i2"),
        item_key("i1"),
    ]
    assert item_keys([]).dtype == np.uint64


def test_no_item_has_the_key_that_means_none() -> None:
    assert all(0 < item_key(str(number)) < 2**32 for number in range(10_000))


def test_the_redis_keys_follow_the_grammar() -> None:
    assert checkpoint_key("events", 3) == b"ck:{events-3}"
    assert state_key("events", 3, "u1") == b"us:{events-3}:u1"
    assert recommendations_key("u1") == b"rec:u1"
    assert partitions_key("events") == b"partitions:events"
