"""Workers and the learner die in mid-replay, or sleep through a takeover: nothing changes."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from deploy.stack.broker import KafkaBroker
from tests.chaos.equality import assert_equal_to_the_log
from tests.chaos.event_log import shop_log
from tests.chaos.pipelines import Pipeline, running_pipeline
from tests.chaos.scale import scaled
from tests.integration.conftest import NUM_PARTITIONS
from tests.integration.roles import until
from tests.integration.stream_checks import produce

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

NUM_EVENTS = scaled(4_000)
NUM_ROUNDS = 3
SEED = 20


def test_killed_three_times_each_and_flushed_the_pipeline_writes_what_the_log_says(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events, moments = shop_log(NUM_EVENTS, seed=SEED), random.Random(SEED)
    bounds = [NUM_EVENTS * part // (NUM_ROUNDS + 1) for part in range(NUM_ROUNDS + 2)]
    portions = [events[start:end] for start, end in pairwise(bounds)]
    with running_pipeline(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as pipeline:
        num_left: list[int] = []
        for portion, end in zip(portions[:-1], bounds[1:], strict=False):
            victims = [moments.choice(["worker-1", "worker-2"]), "learner"]
            moments.shuffle(victims)
            pipeline.until_answering(victims)
            done = pipeline.num_checkpointed()
            produce(kafka.bootstrap, pipeline.events, portion)
            for share in sorted(moments.uniform(0.0, 0.5) for _ in victims):
                until_progress(pipeline, done + int(share * len(portion)))
                pipeline.roles.processes[victims.pop()].kill()
                num_left.append(end - pipeline.num_checkpointed())
        pipeline.until_done()
        assert pipeline.roles.num_restarts("learner") >= NUM_ROUNDS
        assert sum(left > 0 for left in num_left) > NUM_ROUNDS, f"too late to matter: {num_left}"
        assert_equal_to_the_log(pipeline)

        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        produce(kafka.bootstrap, pipeline.events, portions[-1])
        pipeline.until_done()
        assert_equal_to_the_log(pipeline)


def until_progress(pipeline: Pipeline, num_events: int) -> None:
    until(
        lambda: pipeline.num_checkpointed() > num_events,
        what=f"more than {num_events} events in the store\n{pipeline.logs()}",
        deadline_s=120,
    )


def test_a_paused_worker_that_wakes_after_its_partitions_have_moved_changes_nothing(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    num_half = NUM_EVENTS // 2
    events = shop_log(NUM_EVENTS, seed=SEED + 1)
    with running_pipeline(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as pipeline:
        until(
            lambda: all(num_owned(pipeline, f"worker-{n}") == NUM_PARTITIONS // 2 for n in (1, 2)),
            what=f"partitions shared\n{pipeline.logs()}",
            deadline_s=120,
        )
        produce(kafka.bootstrap, pipeline.events, events[:num_half])
        until_progress(pipeline, num_half // 10)
        sleeper = pipeline.roles.processes["worker-1"]
        sleeper.pause()
        until(
            lambda: num_owned(pipeline, "worker-2") == NUM_PARTITIONS,
            what=f"its partitions moved\n{pipeline.logs()}",
            deadline_s=120,
        )
        pipeline.until_done()
        written = written_by_workers(redis_url)

        sleeper.resume()
        until(
            lambda: (
                0 < num_owned(pipeline, "worker-1") < NUM_PARTITIONS
                and num_owned(pipeline, "worker-1") + num_owned(pipeline, "worker-2")
                == NUM_PARTITIONS
            ),
            what=f"partitions shared again\n{pipeline.logs()}",
            deadline_s=120,
        )
        assert written_by_workers(redis_url) == written
        assert_equal_to_the_log(pipeline)

        produce(kafka.bootstrap, pipeline.events, events[num_half:])
        pipeline.until_done()
        assert_equal_to_the_log(pipeline)


def num_owned(pipeline: Pipeline, name: str) -> int:
    return int(pipeline.metric(name, "recsys_partitions_assigned"))


def written_by_workers(redis_url: str) -> dict[bytes, bytes | None]:
    """All checkpoints, states and lists."""
    with redis.Redis.from_url(redis_url) as client:
        keys = [key for pattern in ("ck:*", "us:*", "rec:u*") for key in client.keys(pattern)]
        return dict(zip(keys, client.mget(keys), strict=True))
