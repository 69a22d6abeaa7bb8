"""The list an application reads: its JSON is a contract."""

import json
import math

import msgspec
import pytest

from featurestore.events import ItemId, UserId
from featurestore.lists import (
    AsOf,
    ListCorrupt,
    ModelVersions,
    RecommendationList,
    RecommendedItem,
    decode_list,
    encode_list,
)


def recommendations(*items: RecommendedItem) -> RecommendationList:
    return RecommendationList(
        user_id=UserId("u1"),
        list_id="3-1207",
        items=items,
        as_of=AsOf(partition=3, offset=1207),
        now_ms=1_700_000_000_000,
        computed_at_ms=1_700_000_000_500,
        models=ModelVersions(
            online=42, bundles={"transformer": "ab12"}, items="cd34", config="ef56"
        ),
    )


def item(position: int, *, score: float = 0.25, propensity: float = 1.0) -> RecommendedItem:
    return RecommendedItem(
        item_id=ItemId(f"i{position}"),
        score=score,
        source="covisitation",
        reason="i9",
        position=position,
        propensity=propensity,
    )


def test_the_json_is_what_the_documentation_shows() -> None:
    trending = RecommendedItem(item_id=ItemId("i2"), score=-1.0, source="trending", position=2)
    assert encode_list(recommendations(item(1, propensity=0.5), trending)) == (
        b'{"user_id":"u1","list_id":"3-1207","items":['
        b'{"item_id":"i1","score":0.25,"source":"covisitation","reason":"i9","propensity":0.5},'
        b'{"item_id":"i2","score":-1.0,"source":"trending"}],'
        b'"as_of":{"partition":3,"offset":1207},"now_ms":1700000000000,'
        b'"computed_at_ms":1700000000500,'
        b'"models":{"online":42,"bundles":{"transformer":"ab12"},"items":"cd34","config":"ef56"}}'
    )


def test_a_list_says_what_ordered_it_unless_it_was_the_re_ranker() -> None:
    made = recommendations(item(1))
    models = msgspec.structs.replace(made.models, head="xgboost_slate", bundles={})
    by_ranker = msgspec.structs.replace(made, models=models)
    assert json.loads(encode_list(by_ranker))["models"]["head"] == "xgboost_slate"
    assert decode_list(encode_list(by_ranker)) == by_ranker
    assert "head" not in json.loads(encode_list(made))["models"]
    assert decode_list(encode_list(made)).models.head == "reranker"


def test_a_list_is_read_back_with_what_was_left_out() -> None:
    written = recommendations(item(1), item(2, propensity=0.5), item(7))
    assert decode_list(encode_list(written)) == written


def test_a_score_keeps_four_significant_digits() -> None:
    value = json.loads(encode_list(recommendations(item(1, score=-0.000123456))))
    assert value["items"][0]["score"] == -0.0001235


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        encode_list(recommendations(item(1, score=score)))


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b'{"user_id":7}'])
def test_what_is_no_list_is_refused(value: bytes) -> None:
    with pytest.raises(ListCorrupt):
        decode_list(value)
