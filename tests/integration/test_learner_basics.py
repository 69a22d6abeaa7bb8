"""A learner on a real Kafka and a real Redis: from examples to what workers read."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from deploy.stack.broker import KafkaBroker
from featurestore.events import CatalogueItem, ItemId
from featurestore.keys import RECOMMENDATIONS_POPULAR
from featurestore.lists import RecommendationList, decode_list
from featurestore.reader import RecommendationReader
from models.online.questions import Query
from streams.errors import EXIT_REFUSED
from tests.integration.learners import (
    LAYOUT,
    base_of,
    learned_offline,
    produce_records,
    records_of_a_shop,
    replica_of,
    running_learner,
    same_tables,
)
from tests.integration.roles import until
from tests.integration.stream_checks import produce_items
from tests.streams.engine.log import new_topic
from tests.streams.example_logs import START_MS, record_of, visit

pytestmark = pytest.mark.integration
NUM_RECORDS = 300


def test_what_workers_read_is_the_fold_of_the_examples(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    topic = f"{topics}examples"
    produce_records(kafka.bootstrap, topic, records_of_a_shop(NUM_RECORDS))
    with running_learner(
        tmp_path,
        kafka=kafka.bootstrap,
        redis_url=redis_url,
        prefix=topics,
        learner__shared_interval_s=0.2,
        learner__similar_items=10,
    ) as learner:
        until(lambda: replica_of(redis_url).offset == NUM_RECORDS, what=learner.log())
        expected = learned_offline(kafka.bootstrap, topic)
        assert same_tables(replica_of(redis_url), expected)

        until(lambda: _base_offset(redis_url) == NUM_RECORDS, what="a base")
        assert learner.metric('recsys_freshness_seconds_count{path="online"}') > 0
        assert learner.metric('recsys_label_join_total{outcome="joined"}') > 0
        with redis.Redis.from_url(redis_url) as client:
            popular = [
                expected.vocabulary.item_id(code)
                for code in expected.popularity.largest(21).tolist()
            ]
            until(lambda: _popular(client) == popular[:20], what="the popular list")
            withdrawn = CatalogueItem(item_id=ItemId(popular[3]), available=False)
            produce_items(kafka.bootstrap, f"{topics}items", [withdrawn])
            rest = popular[:3] + popular[4:]
            until(lambda: _popular(client) == rest, what="the popular list without it")

            tents = [
                CatalogueItem(item_id=ItemId(item_id), categories=("tents",))
                for item_id in popular[5:8]
            ]
            produce_items(kafka.bootstrap, f"{topics}items", tents)
            reader = RecommendationReader(client)
            until(lambda: _ids(reader.popular("tents")) == popular[5:8], what="its category's list")
            followed = expected.covisitation.take_changed(1000)
            assert len(followed) > 30
            slots = expected.covisitation.followers(
                [Query(now_ms=0, previous=[c]) for c in followed]
            )
            for code, followers in zip(followed, slots, strict=True):
                item_id = expected.vocabulary.item_id(code)
                until(lambda: _ids(reader.similar(item_id)), what=f"what goes with {item_id}")  # noqa: B023 - asked at once
                known = {expected.vocabulary.item_id(one) for one in followers.tolist()}
                assert set(_ids(reader.similar(item_id)) or ()) <= known - {item_id}


def _base_offset(redis_url: str) -> int | None:
    base = base_of(redis_url)
    return None if base is None else base.offset


def _popular(client: redis.Redis) -> list[str]:
    value = client.get(RECOMMENDATIONS_POPULAR)
    return [] if not isinstance(value, bytes) else [i.item_id for i in decode_list(value).items]


def _ids(made: RecommendationList | None) -> list[str] | None:
    return None if made is None else [item.item_id for item in made.items]


def test_a_gap_in_the_examples_ends_the_learner_with_the_remedy(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    records = [record_of([visit("u", START_MS)], offset, layout=LAYOUT) for offset in (0, 1, 5)]
    produce_records(kafka.bootstrap, f"{topics}examples", records)
    with running_learner(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as learner:
        assert learner.process.wait(timeout=60) == EXIT_REFUSED
    assert "found a record from offset 5, expected at most 2" in learner.log()
    assert "delete the learner's base" in learner.log()


def test_an_examples_topic_of_two_partitions_is_refused(
    kafka: KafkaBroker, redis_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    new_topic(kafka.bootstrap, num_partitions=2, name=f"{topic_prefix}examples")
    new_topic(kafka.bootstrap, name=f"{topic_prefix}items")
    with running_learner(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topic_prefix
    ) as learner:
        assert learner.process.wait(timeout=60) == EXIT_REFUSED
    assert "has 2 partitions, expected 1" in learner.log()


def test_rows_of_another_feature_layout_are_refused(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    produce_records(
        kafka.bootstrap,
        f"{topics}examples",
        [record_of([visit("u", START_MS)], 0, layout="another")],
    )
    with running_learner(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as learner:
        assert learner.process.wait(timeout=60) == EXIT_REFUSED
    assert "has feature layout 'another'" in learner.log()
