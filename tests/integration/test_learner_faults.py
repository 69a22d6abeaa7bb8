"""A learner that is killed, paused or robbed of its store: what it learned stays the fold."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest
import redis

from deploy.stack.broker import KafkaBroker
from deploy.stack.redis_server import RedisServer
from streams.errors import EXIT_RESTART
from tests.integration.learners import (
    base_of,
    learned_offline,
    produce_records,
    records_of_a_shop,
    replica_of,
    running_learner,
    same_tables,
)
from tests.integration.roles import until

pytestmark = [pytest.mark.integration, pytest.mark.chaos]
RECORDS = records_of_a_shop(900)


def offset(redis_url: str) -> int:
    return replica_of(redis_url).offset


def has_passed(redis_url: str, start: int) -> bool:
    return offset(redis_url) > start


def version(redis_url: str) -> int:
    base = base_of(redis_url)
    return 0 if base is None else base.version


def test_killed_three_times_in_mid_stream_it_learns_what_the_log_says(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    topic = f"{topics}examples"
    with running_learner(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as learner:
        for start in (0, 300, 600):
            produce_records(kafka.bootstrap, topic, RECORDS[start : start + 150])
            until(partial(has_passed, redis_url, start), what=learner.log())
            produce_records(kafka.bootstrap, topic, RECORDS[start + 150 : start + 300])
            learner.kill()
            learner.start()
        until(lambda: offset(redis_url) == len(RECORDS), what=learner.log())

    assert same_tables(replica_of(redis_url), learned_offline(kafka.bootstrap, topic))


def test_after_a_flush_it_restarts_and_learns_everything_again(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    topic = f"{topics}examples"
    produce_records(kafka.bootstrap, topic, RECORDS[:300])
    with running_learner(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as learner:
        until(lambda: offset(redis_url) == 300, what=learner.log())
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        assert learner.process.wait(timeout=60) == EXIT_RESTART
        learner.start()
        until(lambda: offset(redis_url) == 300, what=learner.log())

    assert same_tables(replica_of(redis_url), learned_offline(kafka.bootstrap, topic))


def test_a_paused_learner_that_wakes_after_another_took_over_writes_nothing(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    topic = f"{topics}examples"
    produce_records(kafka.bootstrap, topic, RECORDS[:300])
    with running_learner(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as paused:
        until(lambda: offset(redis_url) == 300, what=paused.log())
        paused.send(signal.SIGSTOP)
        produce_records(kafka.bootstrap, topic, RECORDS[300:600])
        with running_learner(
            tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics, number=1
        ) as successor:
            until(lambda: offset(redis_url) == 600, what=successor.log())
            paused.send(signal.SIGCONT)
            assert paused.process.wait(timeout=60) == EXIT_RESTART
            assert "another learner" in paused.log()
            produce_records(kafka.bootstrap, topic, RECORDS[600:])
            until(lambda: offset(redis_url) == len(RECORDS), what=successor.log())

    assert same_tables(replica_of(redis_url), learned_offline(kafka.bootstrap, topic))


def test_while_redis_is_paused_it_waits_and_then_goes_on(
    kafka: KafkaBroker, redis_url: str, redis_server: RedisServer, topics: str, tmp_path: Path
) -> None:
    topic = f"{topics}examples"
    produce_records(kafka.bootstrap, topic, RECORDS[:200])
    with running_learner(
        tmp_path,
        kafka=kafka.bootstrap,
        redis_url=redis_url,
        prefix=topics,
        redis__timeout_s=0.5,
    ) as learner:
        until(lambda: offset(redis_url) == 200, what=learner.log())
        redis_server.pause()
        produce_records(kafka.bootstrap, topic, RECORDS[200:])
        until(lambda: learner.metric("recsys_redis_errors_total") >= 2, what=learner.log())
        redis_server.resume()
        until(lambda: offset(redis_url) == len(RECORDS), what=learner.log())
        assert learner.process.poll() is None

    assert same_tables(replica_of(redis_url), learned_offline(kafka.bootstrap, topic))


def test_a_base_is_saved_again_and_again(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    with running_learner(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as learner:
        until(lambda: version(redis_url) >= 3, what=learner.log())
