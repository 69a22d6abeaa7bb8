"""Item factors on the real stack: what was done a moment ago is in the next list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from deploy.stack.broker import KafkaBroker
from featurestore.lists import RecommendationList, decode_list
from tests.integration.learners import learned_offline, replica_of, same_tables
from tests.integration.roles import running_learner, running_worker, until
from tests.integration.stream_checks import produce
from tests.streams.pipeline.test_factors_in_stream import SETTINGS, habits
from tests.streams.stream_events import START_MS, click
from tests.streams.taught import config


def test_lists_follow_the_factors_and_these_are_what_the_log_teaches(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic, events = f"{topics}events", habits(num_users=250)
    after_ms = START_MS + 1000 * len(events)
    where: dict[str, Any] = {"kafka": kafka.bootstrap, "redis_url": redis_url, "prefix": topics}
    with (
        running_learner(tmp_path, **where, **SETTINGS) as learner,
        running_worker(tmp_path, **where, **SETTINGS) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):

        def learned(num_events: int) -> None:
            until(
                lambda: worker.metric("recsys_freshness_seconds_count") >= num_events,
                what=f"{num_events} events folded\n{worker.log()}",
            )
            written = worker.metric('recsys_stage_duration_seconds_count{stage="log"')
            until(
                lambda: worker.metric("recsys_replica_offset") >= written,
                what=f"all of it learned\n{learner.log()}\n{worker.log()}",
            )

        def list_of(user_id: str, item_id: str, ts_ms: int) -> RecommendationList:
            produce(kafka.bootstrap, events_topic, [click(user_id, item_id, ts_ms)])
            until(lambda: bool(client.exists(f"rec:{user_id}")), what=f"a list of {user_id}")
            value = client.get(f"rec:{user_id}")
            assert isinstance(value, bytes)
            return decode_list(value)

        produce(kafka.bootstrap, events_topic, events)
        learned(len(events))
        before = list_of("before", "a3", after_ms)
        new_habit = [
            click(f"n{number}", item_id, after_ms + 100 * number + place)
            for number in range(40)
            for place, item_id in enumerate(("a3", "new"))
        ]
        produce(kafka.bootstrap, events_topic, new_habit)
        learned(len(events) + 1 + len(new_habit))
        after = list_of("after", "a3", after_ms + 10_000)
        learned(len(events) + 2 + len(new_habit))

    assert before.items[0].item_id == "b3"
    assert "new" not in [item.item_id for item in before.items]
    assert {item.source for item in before.items} == {"factors"}
    assert after.items[0].item_id == "new"
    settings = config(**SETTINGS)
    offline = learned_offline(kafka.bootstrap, f"{topics}examples", settings)
    assert offline.factors is not None
    assert offline.factors.table.columns["squares"].values.all()
    assert same_tables(replica_of(redis_url, settings), offline)
