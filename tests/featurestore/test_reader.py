"""An application's way of reading: its own list, or the popular one."""

from collections.abc import Iterator

import msgspec
import pytest
from redis import Redis

from featurestore.lists import ListCorrupt, RecommendationList, encode_list
from featurestore.reader import RecommendationReader
from tests.featurestore.test_lists import item, recommendations

OWN = recommendations(item(1), item(2, propensity=0.5))
POPULAR = msgspec.structs.replace(recommendations(item(7)), list_id="popular")


@pytest.fixture
def client(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url) as client:
        yield client


def read(client: "Redis", computed_since_ms: int | None = None) -> RecommendationList | None:
    return RecommendationReader(client).get("u1", computed_since_ms=computed_since_ms)


def test_a_user_gets_the_own_list_and_before_it_the_popular_one(client: "Redis") -> None:
    assert read(client) is None
    client.set("rec:popular", encode_list(POPULAR))
    assert read(client) == POPULAR
    client.set("rec:u1", encode_list(OWN))
    assert read(client) == OWN


def test_a_list_that_is_too_old_gives_way_to_the_popular_one(client: "Redis") -> None:
    client.set("rec:u1", encode_list(OWN))
    client.set("rec:popular", encode_list(POPULAR))
    assert read(client, computed_since_ms=OWN.computed_at_ms) == OWN
    assert read(client, computed_since_ms=OWN.computed_at_ms + 1) == POPULAR


def test_shared_lists_are_read_by_category_and_by_item(client: "Redis") -> None:
    reader = RecommendationReader(client)
    assert reader.popular("shoes") is None
    assert reader.similar("boot") is None
    client.set("rec:popular:shoes", encode_list(POPULAR))
    client.set("similar:boot", encode_list(OWN))
    assert reader.popular("shoes") == POPULAR
    assert reader.similar("boot") == OWN


def test_what_somebody_else_wrote_is_no_list(client: "Redis") -> None:
    client.set("rec:u1", b"not ours")
    with pytest.raises(ListCorrupt):
        read(client)
