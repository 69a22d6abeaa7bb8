"""The topics are created once, as needed, and a wrong one is refused rather than altered."""

import threading

import pytest

from deploy.stack.broker import KafkaBroker
from deploy.stack.errors import BrokerUnreachable, TopicMismatch
from deploy.stack.ports import LOOPBACK, free_port
from deploy.stack.topics import TopicLayout, admin_client, create_topics, num_partitions

NAMES = ("events", "items", "examples", "models", "events.dead-letters")


def test_creating_twice_creates_once(kafka: KafkaBroker, topic_prefix: str) -> None:
    layout = TopicLayout(num_partitions=3, prefix=topic_prefix)
    assert create_topics(kafka.bootstrap, layout) == [topic_prefix + name for name in NAMES]
    assert create_topics(kafka.bootstrap, layout) == []


def test_partition_counts(kafka: KafkaBroker, topic_prefix: str) -> None:
    create_topics(kafka.bootstrap, TopicLayout(num_partitions=3, prefix=topic_prefix))
    counts = {name: num_partitions(kafka.bootstrap, topic_prefix + name) for name in NAMES}
    assert counts == {
        "events": 3,
        "items": 1,
        "examples": 1,
        "models": 1,
        "events.dead-letters": 3,
    }


def test_unknown_topic_has_no_partition_count(kafka: KafkaBroker, topic_prefix: str) -> None:
    assert num_partitions(kafka.bootstrap, f"{topic_prefix}events") is None


def test_another_partition_count_is_refused(kafka: KafkaBroker, topic_prefix: str) -> None:
    create_topics(kafka.bootstrap, TopicLayout(num_partitions=3, prefix=topic_prefix))
    with pytest.raises(TopicMismatch, match="events: found 3 partitions, expected 4"):
        create_topics(kafka.bootstrap, TopicLayout(num_partitions=4, prefix=topic_prefix))
    assert num_partitions(kafka.bootstrap, f"{topic_prefix}events") == 3


def test_topic_with_the_producers_timestamps_is_refused(
    kafka: KafkaBroker, topic_prefix: str
) -> None:
    with admin_client(kafka.bootstrap) as admin:
        admin.create_topics({f"{topic_prefix}events": {"num_partitions": 1}})
    with pytest.raises(TopicMismatch, match=r"found message\.timestamp\.type=CreateTime"):
        create_topics(kafka.bootstrap, TopicLayout(num_partitions=1, prefix=topic_prefix))


def test_several_processes_may_create_them_at_once(kafka: KafkaBroker, topic_prefix: str) -> None:
    layout = TopicLayout(num_partitions=1, prefix=topic_prefix)
    failures: list[Exception] = []

    def create() -> None:
        try:
            create_topics(kafka.bootstrap, layout)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_no_broker_is_told_with_its_address() -> None:
    nobody = f"{LOOPBACK}:{free_port()}"
    with (
        pytest.raises(BrokerUnreachable, match=f"found no Kafka broker at {nobody}"),
        admin_client(nobody),
    ):
        pass
