"""A real Apache Kafka starts, keeps its data, and leaves nothing behind."""

from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from deploy.stack.broker import KafkaBroker, broker_answers, kafka_programs
from deploy.stack.environment import StackEnvironment
from deploy.stack.errors import StartFailed
from deploy.stack.topics import TopicLayout, create_topics, num_partitions


@pytest.fixture
def events(kafka: KafkaBroker, topic_prefix: str) -> str:
    create_topics(kafka.bootstrap, TopicLayout(num_partitions=2, prefix=topic_prefix))
    return f"{topic_prefix}events"


def produce(bootstrap: str, topic: str, values: list[bytes]) -> list[int]:
    """Return the records' offsets, all in partition 0."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", max_block_ms=3_000)
    try:
        futures = [producer.send(topic, value, partition=0) for value in values]
        return [future.get(timeout=30).offset for future in futures]
    finally:
        producer.close()


def consume(bootstrap: str, topic: str, num_values: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=30_000)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        return [record.value for _, record in zip(range(num_values), consumer, strict=False)]
    finally:
        consumer.close()


def test_what_is_produced_is_consumed_in_order(kafka: KafkaBroker, events: str) -> None:
    values = [b"%d" % number for number in range(100)]
    assert produce(kafka.bootstrap, events, values) == list(range(100))
    assert consume(kafka.bootstrap, events, 100) == values


@pytest.mark.chaos
def test_restart_keeps_address_and_data(kafka: KafkaBroker, events: str) -> None:
    bootstrap = kafka.bootstrap
    produce(bootstrap, events, [b"before"])
    kafka.restart()
    assert kafka.bootstrap == bootstrap
    produce(bootstrap, events, [b"after"])
    assert consume(bootstrap, events, 2) == [b"before", b"after"]


@pytest.mark.chaos
def test_crash_keeps_what_was_acknowledged(kafka: KafkaBroker, events: str) -> None:
    produce(kafka.bootstrap, events, [b"before"])
    kafka.kill()
    assert not broker_answers(kafka.bootstrap)
    kafka.start()
    assert consume(kafka.bootstrap, events, 1) == [b"before"]


@pytest.mark.chaos
def test_stopping_leaves_no_process_and_may_be_repeated(kafka: KafkaBroker) -> None:
    pid = kafka.pid
    kafka.stop()
    kafka.stop()
    assert not kafka.alive
    assert not psutil.pid_exists(pid)


def test_starting_twice_is_starting_once(kafka: KafkaBroker) -> None:
    pid = kafka.pid
    kafka.start()
    assert kafka.pid == pid


def test_another_server_on_the_port_is_not_taken_for_the_broker(
    kafka: KafkaBroker, stack_environment: StackEnvironment, tmp_path: Path
) -> None:
    second = KafkaBroker(tmp_path, kafka_programs(stack_environment), port=kafka.port)
    with pytest.raises(StartFailed, match=f"found another server on {kafka.bootstrap}"):
        second.start()
    assert not second.alive


def test_failed_start_shows_the_brokers_own_words_and_leaves_nothing(
    kafka: KafkaBroker,  # noqa: ARG001 - its format step would otherwise fetch the jars here
    stack_environment: StackEnvironment,
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=7\n")
    broken = KafkaBroker(tmp_path, kafka_programs(stack_environment))
    with pytest.raises(StartFailed, match=r"(?s)exit status 1.*meta\.properties"):
        broken.start()
    assert not broken.alive


def test_misspelt_topic_is_not_created(kafka: KafkaBroker, topic_prefix: str) -> None:
    with pytest.raises(KafkaError):
        produce(kafka.bootstrap, f"{topic_prefix}evnets", [b"lost"])
    assert num_partitions(kafka.bootstrap, f"{topic_prefix}evnets") is None
