"""A worker on a real Kafka and a real Redis: from an event to a list."""

from pathlib import Path

from deploy.stack.broker import KafkaBroker
from featurestore.events import Event
from tests.integration.conftest import NUM_PARTITIONS
from tests.integration.roles import running_worker, until
from tests.integration.stream_checks import (
    assert_examples_tile,
    assert_states_equal,
    folded_log,
    produce,
)
from tests.streams.stream_events import START_MS, click, shown, visit


def test_states_in_the_store_are_the_fold_of_the_log(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    for number in range(30):
        user_id = f"u{number % 7}"
        at_ms = START_MS + number * 10
        events += [
            visit(user_id, at_ms),
            shown(user_id, at_ms + 1, items=[f"i{number}", f"i{number + 1}"]),
            click(user_id, f"i{number}", at_ms + 2),
        ]
    produce(kafka.bootstrap, f"{topics}events", events)

    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as worker:
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") == len(events),
            what=f"all events processed\n{worker.log()}",
        )

    expected = folded_log(kafka.bootstrap, f"{topics}events")
    assert_states_equal(redis_url, f"{topics}events", NUM_PARTITIONS, expected)
    assert_examples_tile(kafka.bootstrap, f"{topics}examples", f"{topics}events")
