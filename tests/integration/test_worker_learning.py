"""Worker and learner together: what users do changes what others get, and catching up."""

from __future__ import annotations

from pathlib import Path

import redis

from deploy.stack.broker import KafkaBroker
from featurestore.events import Event
from featurestore.lists import RecommendationList, decode_list
from tests.integration.conftest import NUM_PARTITIONS
from tests.integration.roles import running_learner, running_worker, until
from tests.integration.stream_checks import assert_states_equal, folded_log, produce
from tests.streams.stream_events import START_MS, click, visit

EVENTS_DONE = "recsys_freshness_seconds_count"


def list_of(client: redis.Redis, user_id: str) -> RecommendationList | None:
    value = client.get(f"rec:{user_id}")
    return decode_list(value) if isinstance(value, bytes) else None


def test_what_others_did_next_is_recommended_with_its_reason(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic = f"{topics}events"
    habits: list[Event] = []
    for number in range(30):
        user_id, at_ms = f"u{number}", START_MS + number * 100
        habits += [click(user_id, "tent", at_ms), click(user_id, "stove", at_ms + 50)]
        habits += [click(f"v{number}", f"other{number % 15}", at_ms + 60)]
    with (
        running_learner(
            tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
        ) as learner,
        running_worker(
            tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
        ) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):
        produce(kafka.bootstrap, events_topic, habits)
        until(
            lambda: worker.metric(EVENTS_DONE) == len(habits),
            what=f"the habits processed\n{worker.log()}",
        )
        written = worker.metric('recsys_stage_duration_seconds_count{stage="log"')
        until(
            lambda: worker.metric("recsys_replica_offset") >= written,
            what=f"the habits learned\n{learner.log()}\n{worker.log()}",
        )
        produce(kafka.bootstrap, events_topic, [click("new", "tent", START_MS + 60_000)])
        until(lambda: list_of(client, "new"), what="the new user's list")
        made = list_of(client, "new")

    assert made is not None
    best = made.items[0]
    assert (best.item_id, best.source, best.reason) == ("stove", "covisitation", "tent")
    assert made.models.online >= written
    assert len(made.items) == 16


def test_a_worker_far_behind_folds_first_and_then_gives_every_user_one_list(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic, num_users = f"{topics}events", 300
    events: list[Event] = [
        click(f"u{number % num_users}", f"i{number % 37}", START_MS + number)
        if number % 3
        else visit(f"u{number % num_users}", START_MS + number)
        for number in range(6000)
    ]
    produce(kafka.bootstrap, events_topic, events)
    with (
        running_worker(
            tmp_path,
            kafka=kafka.bootstrap,
            redis_url=redis_url,
            prefix=topics,
            worker__catch_up_events=200,
            worker__slice_events=100,
        ) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):
        until(
            lambda: worker.metric(EVENTS_DONE) == len(events),
            what=f"everything folded\n{worker.log()}",
        )
        until(
            lambda: sum(1 for _ in client.scan_iter("rec:u*", count=1000)) == num_users,
            what=f"a list for every user\n{worker.log()}",
        )
        until(lambda: worker.metric("recsys_owed_lists") == 0, what="no list owed")
        num_lists = worker.metric("recsys_recommendations_total")
        made = list_of(client, "u7")

    assert num_lists < len(events) / 4
    assert made is not None
    assert made.now_ms == START_MS + 5707
    expected = folded_log(kafka.bootstrap, events_topic)
    assert_states_equal(redis_url, events_topic, NUM_PARTITIONS, expected)
