"""Does the probe say what waits, as roles work and as they stand still?"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.stack.broker import KafkaBroker
from streams.backlog import Backlog, BacklogProbe, NotDigested
from streams.config import Config, config_of
from tests.integration.learners import LAYOUT, produce_records
from tests.integration.roles import running_learner, running_worker
from tests.integration.stream_checks import produce
from tests.streams.example_logs import record_of, visit
from tests.streams.stream_events import START_MS, click


def config_for(kafka: str, redis_url: str, prefix: str) -> Config:
    topics = {name: f"{prefix}{name}" for name in ("events", "items", "examples", "models")}
    topics["dead_letters"] = f"{prefix}events.dead-letters"
    servers = {"HEADRACE_KAFKA": kafka, "HEADRACE_REDIS": redis_url}
    return config_of({"kafka": {"topics": topics}}, servers)


def test_what_a_worker_writes_while_it_is_asked_does_not_look_digested(
    kafka: KafkaBroker, redis_url: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folded(partition: int) -> int:
        if partition == 0:
            record = record_of([visit("u", START_MS)], 0, layout=LAYOUT)
            produce_records(kafka.bootstrap, f"{topics}examples", [record])
        return 1

    produce(kafka.bootstrap, f"{topics}events", [click("u", "i", START_MS)])
    with BacklogProbe(config_for(kafka.bootstrap, redis_url, topics)) as probe:
        monkeypatch.setattr(probe, "_folded", folded)
        assert probe.ask() == Backlog(num_events=0, num_examples=1)


def test_what_kafka_knows_is_asked_for_anew_now_and_then(
    kafka: KafkaBroker, redis_url: str, topics: str
) -> None:
    produce(kafka.bootstrap, f"{topics}events", [click("u", "i", START_MS)])
    with BacklogProbe(config_for(kafka.bootstrap, redis_url, topics)) as probe:
        for _ in range(2):
            assert probe.ask() == Backlog(num_events=1, num_examples=0)
            # As after `metadata_max_age_ms`, five minutes.
            consumer = probe._consumer
            renewed = consumer._cluster.request_update()
            consumer._net.run(consumer._manager.wait_for, renewed, None)


def test_what_was_sent_waits_until_worker_and_learner_are_through(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events = [click(f"u{n % 7}", f"i{n % 5}", START_MS + n) for n in range(50)]
    with BacklogProbe(config_for(kafka.bootstrap, redis_url, topics)) as probe:
        assert probe.ask().is_digested
        produce(kafka.bootstrap, f"{topics}events", events)
        assert (probe.ask().num_events, probe.ask().num_examples) == (50, 0)

        with running_worker(tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics):
            with pytest.raises(NotDigested, match=r"0 events and \d+ examples still wait"):
                # No learner runs.
                probe.wait_until_digested(deadline_s=15)
            with running_learner(
                tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
            ):
                probe.wait_until_digested(deadline_s=60)
                assert probe.ask().is_digested

        produce(kafka.bootstrap, f"{topics}events", events[:3])
        assert probe.ask().num_events == 3
