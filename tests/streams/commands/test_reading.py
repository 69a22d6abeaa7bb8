"""What `headrace get` shows of a real Redis."""

from __future__ import annotations

import redis
from click.testing import CliRunner, Result
from msgspec.structs import replace

from featurestore.events import ItemId, UserId
from featurestore.keys import RECOMMENDATIONS_POPULAR, popular_key, recommendations_key, similar_key
from featurestore.lists import (
    AsOf,
    ModelVersions,
    RecommendationList,
    RecommendedItem,
    encode_list,
)
from streams.cli import _headrace


def list_for(user_id: str) -> RecommendationList:
    tent = RecommendedItem(
        item_id=ItemId("tent"), score=0.25, source="trending", position=1, propensity=1.0
    )
    rope = RecommendedItem(
        item_id=ItemId("[/rope]"),
        score=0.125,
        source="covisitation",
        reason=ItemId("tent"),
        position=2,
        propensity=1.0,
    )
    return RecommendationList(
        user_id=UserId(user_id),
        list_id="3-41",
        items=(tent, rope),
        as_of=AsOf(partition=3, offset=41),
        now_ms=1,
        computed_at_ms=1_700_000_000_000,
        models=ModelVersions(
            online=77, bundles={"transformer": "01234567", "als": "89abcdef"}, items="", config=""
        ),
    )


def got(redis_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(
        _headrace, ["get", *arguments], env={"HEADRACE_REDIS": redis_url, "COLUMNS": "120"}
    )


def test_a_users_list_is_shown_with_reasons_and_versions(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(recommendations_key("ann"), encode_list(list_for("ann")))
    done = got(redis_url, "ann")

    assert done.exit_code == 0, done.output
    for part in ("ann", "tent", "0.25", "trending", "[/rope]", "covisitation: after tent"):
        assert part in done.output
    caption = " ".join(done.output.split())
    assert "computed 2023-11-14 22:13:20 UTC after event 3-41" in caption
    assert "examples offset 77, ordered by reranker, transformer 01234567" in caption
    assert "popular" not in done.output
    assert "drawn" not in done.output


def test_of_an_explored_list_each_item_says_with_which_chance_it_was_drawn(redis_url: str) -> None:
    ranked = list_for("ann")
    rope = replace(ranked.items[1], propensity=0.0123)
    drawn = replace(ranked, list_id="3-41-x", items=(ranked.items[0], rope))
    with redis.Redis.from_url(redis_url) as client:
        client.set(recommendations_key("ann"), encode_list(drawn))

    shown = got(redis_url, "ann").output

    assert "trending, drawn with chance 1" in shown
    assert "covisitation: after tent, drawn with chance 0.012" in shown


def test_without_a_list_the_popular_one_is_shown_and_said_to_be(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(RECOMMENDATIONS_POPULAR, encode_list(list_for("")))
    done = got(redis_url, "bob")

    assert done.exit_code == 0, done.output
    assert "bob has no list: what is popular" in done.output


def test_what_is_popular_of_a_category_and_what_goes_with_an_item_is_shown(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(popular_key("shoes"), encode_list(list_for("")))
        client.set(similar_key("boot"), encode_list(list_for("")))

    assert "popular of shoes" in got(redis_url, "--category", "shoes").output
    assert "goes with boot" in got(redis_url, "--similar", "boot").output
    for arguments, missing in (
        (("--category", "hats"), "no list of the category 'hats'"),
        (("--similar", "hat"), "no list of what goes with 'hat'"),
    ):
        done = got(redis_url, *arguments)
        assert done.exit_code == 1
        assert missing in done.output


def test_one_list_is_asked_for_and_not_none_or_two(redis_url: str) -> None:
    for arguments in ((), ("ann", "--similar", "boot")):
        done = got(redis_url, *arguments)
        assert done.exit_code == 2
        assert "expected one of USER, --category and --similar" in done.output


def test_no_list_at_all_is_a_fault_with_a_hint(redis_url: str) -> None:
    done = got(redis_url, "bob")

    assert done.exit_code == 1
    assert "do worker and learner run" in done.output
