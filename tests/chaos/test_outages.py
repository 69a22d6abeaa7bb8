"""Kafka or Redis go away in mid-stream: the pipeline waits or restarts, and goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.stack.broker import KafkaBroker
from deploy.stack.redis_server import RedisServer
from tests.chaos.equality import assert_equal_to_the_log
from tests.chaos.event_log import shop_log
from tests.chaos.pipelines import Pipeline, running_pipeline
from tests.chaos.scale import lasting_s, scaled
from tests.integration.roles import until
from tests.integration.stream_checks import produce

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

NUM_EVENTS = scaled(2_000)
PAUSE_S = lasting_s(8.0, 20.0)
AWAY_S = lasting_s(15.0, 120.0)
WORKERS = ("worker-1", "worker-2")


def test_a_restarted_and_a_crashed_kafka_are_waited_for(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    with running_pipeline(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as pipeline:

        def crash() -> None:
            kafka.kill()
            kafka.start()

        through(pipeline, kafka.restart, seed=1)
        through(pipeline, crash, seed=2)


def test_a_restarted_and_a_paused_redis_are_waited_for(
    kafka: KafkaBroker, redis_server: RedisServer, redis_url: str, topics: str, tmp_path: Path
) -> None:
    with running_pipeline(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as pipeline:

        def pause() -> None:
            redis_server.pause()
            until_passed(PAUSE_S)
            assert sum(pipeline.metric(name, "recsys_redis_errors") for name in WORKERS) > 0
            redis_server.resume()

        through(pipeline, redis_server.restart, seed=3)
        through(pipeline, pause, seed=4)


def test_a_redis_that_is_away_across_a_rebalance_is_waited_for(
    kafka: KafkaBroker, redis_server: RedisServer, redis_url: str, topics: str, tmp_path: Path
) -> None:
    with running_pipeline(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as pipeline:

        def away() -> None:
            redis_server.stop()
            # The dead one's session ends, and the one that is started in its place joins, while
            # neither can read where a partition stands.
            pipeline.roles.processes["worker-1"].kill()
            until_passed(AWAY_S)
            until(
                lambda: pipeline.metric("worker-1", "recsys_redis_errors") > 0,
                what=f"worker-1 waiting for Redis\n{pipeline.logs()}",
                deadline_s=120,
            )
            redis_server.start()

        through(pipeline, away, seed=5)


def through(pipeline: Pipeline, outage: Callable[[], object], *, seed: int) -> None:
    """Let the outage happen while events are being processed; compare everything afterwards."""
    events, done = shop_log(NUM_EVENTS, seed=seed), pipeline.num_checkpointed()
    half = len(events) // 2
    produce(pipeline.kafka, pipeline.events, events[:half])
    until(
        lambda: pipeline.num_checkpointed() > done + half // 10,
        what=f"some progress\n{pipeline.logs()}",
        deadline_s=120,
    )
    outage()
    produce(pipeline.kafka, pipeline.events, events[half:])
    pipeline.until_done(deadline_s=240)
    assert_equal_to_the_log(pipeline)


def until_passed(seconds: float) -> None:
    """Return after the time that an outage is required to last."""
    end_s = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end_s, what="the time", deadline_s=seconds + 60)
