"""What a worker does when the store, the log or another owner is not as it left them."""

from pathlib import Path

import msgspec
import pytest
import redis
from kafka import KafkaAdminClient

from deploy.stack.broker import KafkaBroker
from deploy.stack.redis_server import RedisServer
from deploy.stack.topics import TopicLayout, create_topics
from featurestore.events import Event
from streams.errors import EXIT_REFUSED, EXIT_RESTART
from tests.integration.conftest import NUM_PARTITIONS
from tests.integration.roles import RoleProcess, running_worker, until
from tests.integration.stream_checks import (
    assert_examples_tile,
    assert_states_equal,
    folded_log,
    produce,
    producing,
    values_of,
)
from tests.streams.stream_events import START_MS, click, visit

EVENTS_DONE = "recsys_freshness_seconds_count"


def some_events(first: int, num: int, num_users: int = 50) -> list[Event]:
    events: list[Event] = []
    for number in range(first, first + num):
        user_id = f"u{number % num_users}"
        at_ms = START_MS + number
        kind = number % 3
        events.append(
            visit(user_id, at_ms) if kind == 0 else click(user_id, f"i{number % 11}", at_ms)
        )
    return events


def exit_code(worker: RoleProcess) -> int:
    until(lambda: worker.process.poll() is not None, what=f"the worker's end\n{worker.log()}")
    return worker.process.wait()


def test_a_flushed_store_makes_it_start_again_and_rebuild_everything(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic = f"{topics}events"
    produce(kafka.bootstrap, events_topic, some_events(0, 300))
    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as worker:
        until(lambda: worker.metric(EVENTS_DONE) == 300, what="all events processed")
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        produce(kafka.bootstrap, events_topic, some_events(300, 50))
        assert exit_code(worker) == EXIT_RESTART
        assert "flushed or restored" in worker.log()

        worker.start()
        until(lambda: worker.metric(EVENTS_DONE) == 350, what="all events processed again")

    expected = folded_log(kafka.bootstrap, events_topic)
    assert_states_equal(redis_url, events_topic, NUM_PARTITIONS, expected)
    assert_examples_tile(kafka.bootstrap, f"{topics}examples", events_topic)


def test_a_recreated_topic_under_an_old_store_is_refused_with_the_remedy(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic = f"{topics}events"
    produce(kafka.bootstrap, events_topic, some_events(0, 40))
    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as worker:
        until(lambda: worker.metric(EVENTS_DONE) == 40, what="all events processed")
        assert worker.stop() == 0
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        admin.delete_topics([events_topic])
        until(lambda: _created_anew(kafka.bootstrap, topics), what="the topic's new creation")
        admin.close()

        worker.start()
        assert exit_code(worker) == EXIT_REFUSED
        assert "deleted and created again" in worker.log()
        assert "FLUSHDB" in worker.log()


def _created_anew(bootstrap: str, prefix: str) -> bool:
    return f"{prefix}events" in create_topics(
        bootstrap, TopicLayout(num_partitions=NUM_PARTITIONS, prefix=prefix)
    )


def test_states_of_another_fold_are_refused(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    produce(kafka.bootstrap, f"{topics}events", some_events(0, 40))
    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as worker:
        until(lambda: worker.metric(EVENTS_DONE) == 40, what="all events processed")
    with running_worker(
        tmp_path,
        kafka=kafka.bootstrap,
        redis_url=redis_url,
        prefix=topics,
        number=1,
        state__max_actions=100,
    ) as worker:
        assert exit_code(worker) == EXIT_REFUSED
        assert "folded under version" in worker.log()


@pytest.mark.chaos
def test_a_paused_redis_is_waited_for(
    kafka: KafkaBroker, redis_server: RedisServer, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic = f"{topics}events"
    with running_worker(
        tmp_path,
        kafka=kafka.bootstrap,
        redis_url=redis_url,
        prefix=topics,
        redis__timeout_s=0.5,
    ) as worker:
        produce(kafka.bootstrap, events_topic, some_events(0, 100))
        until(lambda: worker.metric(EVENTS_DONE) == 100, what="the first events processed")
        redis_server.pause()
        produce(kafka.bootstrap, events_topic, some_events(100, 100))
        until(lambda: worker.metric("recsys_redis_errors_total") >= 2, what="waiting for Redis")
        redis_server.resume()
        until(lambda: worker.metric(EVENTS_DONE) == 200, what="the others processed")

    expected = folded_log(kafka.bootstrap, events_topic)
    assert_states_equal(redis_url, events_topic, NUM_PARTITIONS, expected)
    assert_examples_tile(kafka.bootstrap, f"{topics}examples", events_topic)


@pytest.mark.chaos
def test_killed_workers_lose_and_double_nothing(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic = f"{topics}events"
    started = {"kafka": kafka.bootstrap, "redis_url": redis_url, "prefix": topics}
    with (
        running_worker(tmp_path, **started, number=0, worker__chunk_events=16) as first,
        running_worker(tmp_path, **started, number=1, worker__chunk_events=16) as second,
    ):
        with producing(kafka.bootstrap, events_topic, some_events(0, 60_000, num_users=400)):
            for victim in (first, second, first):
                _until_some_progress(victim)
                victim.kill()
                victim.start()
            _until_some_progress(first)
        num_events = sum(map(len, values_of(kafka.bootstrap, events_topic).values()))
        until(
            lambda: _num_checkpointed(redis_url, events_topic) == num_events,
            what=f"everything processed\n{first.log()[-3000:]}\n{second.log()[-3000:]}",
            deadline_s=120,
        )

    expected = folded_log(kafka.bootstrap, events_topic)
    assert_states_equal(redis_url, events_topic, NUM_PARTITIONS, expected)
    assert_examples_tile(kafka.bootstrap, f"{topics}examples", events_topic)


def _until_some_progress(worker: RoleProcess) -> None:
    until(lambda: worker.metric(EVENTS_DONE) > 0, what="some progress")


def _num_checkpointed(redis_url: str, topic: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys(b"ck:{%b-*" % topic.encode())
        return sum(msgspec.json.decode(client.get(key))["next_offset"] for key in keys)
