"""Which topics does Headrace need, and do they exist as needed?"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from deploy.stack.errors import BrokerUnreachable, TopicMismatch
from deploy.stack.ports import somebody_listens

_DAY_MS = 24 * 3600 * 1000
_MIB = 1024 * 1024
_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic.

    Attributes:
        name: Its full name.
        num_partitions: Exactly so many; more would give users new owners.
        config: Kafka's topic configuration, at its creation.
        required: Those of its settings without which Headrace is wrong, not just slower.
    """

    name: str
    num_partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicLayout:
    """What one may choose about the topics.

    Attributes:
        num_partitions: Of `events`, thus the largest useful number of workers.
        retention_ms: How long `events`, `examples` and dead letters are kept; the state of a
            user can be rebuilt only as far back.
        replication_factor: 1 on the local stack.
        prefix: Before every name, so that several pipelines can share a cluster.
    """

    num_partitions: int = 8
    retention_ms: int = 30 * _DAY_MS
    replication_factor: int = 1
    prefix: str = ""

    def specs(self) -> tuple[TopicSpec, ...]:
        """Return all topics, `events` first."""
        kept = {"retention.ms": str(self.retention_ms)}
        compacted = {"cleanup.policy": "compact"}
        timestamps = {"message.timestamp.type": "LogAppendTime"}
        # One record is a whole chunk of featured rows; an original of the largest size must fit
        # into a dead letter together with its headers.
        chunks = {"max.message.bytes": str(16 * _MIB)}
        letters = {"max.message.bytes": str(2 * _MIB)}
        return (
            TopicSpec(
                name=f"{self.prefix}events",
                num_partitions=self.num_partitions,
                config=kept | timestamps,
                # Freshness is measured from it, and "the future" is judged by it.
                required=frozenset(timestamps),
            ),
            TopicSpec(
                name=f"{self.prefix}items",
                num_partitions=1,
                config=compacted,
                required=frozenset(compacted),
            ),
            # One partition: the learner and the trainer rely on one total order.
            TopicSpec(name=f"{self.prefix}examples", num_partitions=1, config=kept | chunks),
            TopicSpec(
                name=f"{self.prefix}models",
                num_partitions=1,
                config=compacted,
                required=frozenset(compacted),
            ),
            TopicSpec(
                name=f"{self.prefix}events.dead-letters",
                num_partitions=self.num_partitions,
                config=kept | letters,
            ),
        )


def create_topics(bootstrap: str, layout: TopicLayout) -> list[str]:
    """Create the topics that do not exist and check those that do; safe to repeat.

    Existing topics are never altered.

    Returns:
        The names of the topics that were created; each has a leader for every partition.

    Raises:
        TopicMismatch: A topic exists with another partition count or without a setting that is
            needed; names all of them.
        BrokerUnreachable: No broker answers.
    """
    specs = layout.specs()
    with admin_client(bootstrap) as admin:
        existing = _describe(admin, [spec.name for spec in specs])
        missing = [spec for spec in specs if spec.name not in existing]
        if missing:
            _create(admin, missing, layout.replication_factor)
        # All of them: another process may have created the missing ones in the meantime.
        _check(admin, specs)
    return [spec.name for spec in missing]


def num_partitions(bootstrap: str, topic: str) -> int | None:
    """Return the topic's partition count, or None if there is no such topic."""
    with admin_client(bootstrap) as admin:
        return _describe(admin, [topic]).get(topic)


@contextmanager
def admin_client(bootstrap: str) -> Iterator[KafkaAdminClient]:
    """Yield a client that administers the cluster.

    Raises:
        BrokerUnreachable: No broker answers.
    """
    admin = _connect(bootstrap)
    try:
        yield admin
    finally:
        admin.close()


def _connect(bootstrap: str) -> KafkaAdminClient:
    # Dialled first: a client that finds nobody waits for long, and leaves a socket open.
    if not somebody_listens(bootstrap):
        raise BrokerUnreachable(_unreachable(bootstrap, "nobody listens there"))
    try:
        return KafkaAdminClient(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=_TIMEOUT_MS,
            request_timeout_ms=_TIMEOUT_MS,
        )
    except (KafkaError, OSError) as error:
        raise BrokerUnreachable(_unreachable(bootstrap, str(error))) from error


def _unreachable(bootstrap: str, found: str) -> str:
    return (
        f"found no Kafka broker at {bootstrap} ({found}); expected one that answers;"
        " start one with `headrace up`, or correct HEADRACE_KAFKA"
    )


def _describe(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Return the partition count of those topics that exist."""
    described = admin.describe_topics(list(names))
    return {
        topic["name"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0
    }


def _create(admin: KafkaAdminClient, specs: Sequence[TopicSpec], replication_factor: int) -> None:
    wanted = {
        spec.name: {
            "num_partitions": spec.num_partitions,
            "replication_factor": replication_factor,
            "configs": dict(spec.config),
        }
        for spec in specs
    }
    # Another process may be faster with one of them; the broker still creates the others.
    with suppress(TopicAlreadyExistsError):
        admin.create_topics(wanted, timeout_ms=_TIMEOUT_MS)
    admin.wait_for_topics(list(wanted), timeout_ms=_TIMEOUT_MS)


def _check(admin: KafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    counts = _describe(admin, [spec.name for spec in specs])
    problems = [
        f"{spec.name}: found {counts.get(spec.name)} partitions, expected {spec.num_partitions};"
        " changing the count moves users to other owners: see docs/migrate-partitions.md"
        for spec in specs
        if counts.get(spec.name) != spec.num_partitions
    ]
    problems += _config_problems(admin, specs)
    if problems:
        raise TopicMismatch("\n".join(problems))


def _config_problems(admin: KafkaAdminClient, specs: Sequence[TopicSpec]) -> Iterator[str]:
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, spec.name, dict.fromkeys(spec.required))
        for spec in specs
        if spec.required
    ]
    found = admin.describe_configs(resources, config_filter="all")
    for spec in specs:
        for key in sorted(spec.required):
            value = found["topic"][spec.name][key]["value"]
            if value != spec.config[key]:
                yield (
                    f"{spec.name}: found {key}={value}, expected {spec.config[key]};"
                    " alter it with kafka-configs.sh"
                )
