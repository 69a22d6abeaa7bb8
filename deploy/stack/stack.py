"""How do Kafka, Redis, the roles and Prometheus run together, from start to stop?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from deploy.stack.broker import KafkaBroker, broker_answers, kafka_programs
from deploy.stack.environment import StackEnvironment, without_password
from deploy.stack.errors import BrokerUnreachable, StartFailed
from deploy.stack.ports import free_port
from deploy.stack.prometheus_server import PrometheusServer, find_prometheus
from deploy.stack.redis_server import RedisServer, find_redis_server, redis_answers
from deploy.stack.role import Role
from deploy.stack.role_set import RoleSet
from deploy.stack.server import Server
from deploy.stack.state import Addresses, ServerState
from deploy.stack.topics import TopicLayout, create_topics


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """What may be chosen about the stack.

    Attributes:
        directory: Everything that it writes: data, logs, the record of what runs.
        topics: The topics to create or check.
        kafka_port: Taken if it is free; any other free port if not, or if None. The same holds
            for the other ports.
        redis_port: See `kafka_port`.
        prometheus_port: See `kafka_port`.
        redis_appendonly: Whether the local Redis writes to disk. If not, a restart empties it, and
            the workers rebuild it from the log.
        with_prometheus: Whether to start Prometheus where its binary is on PATH.
    """

    directory: Path
    topics: TopicLayout = field(default_factory=TopicLayout)
    kafka_port: int | None = None
    redis_port: int | None = None
    prometheus_port: int | None = None
    redis_appendonly: bool = False
    with_prometheus: bool = True


class Stack:
    """Starts what is missing, in order, and stops in reverse what it has started.

    Order: broker, topics, Redis, roles, Prometheus; each answers before the next is started. An
    address in the environment wins: then nothing is started for it, but it must answer. A role
    that ends by itself is started again, after a delay that grows while it keeps ending.

    On Linux everything it has started dies with this process, even if that is killed.

    Args:
        config: What may be chosen.
        environment: Addresses and programs; see `read_environment`.
        roles: What to run against Kafka and Redis.
        announce: Is told, in a few words, what is being done.
    """

    def __init__(
        self,
        config: StackConfig,
        environment: StackEnvironment,
        *,
        roles: Sequence[Role] = (),
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._environment = environment
        self._planned = tuple(roles)
        self._announce = announce
        self._addresses: Addresses | None = None
        self.kafka: KafkaBroker | None = None
        self.redis: RedisServer | None = None
        self.prometheus: PrometheusServer | None = None
        self._roles: RoleSet | None = None

    @property
    def addresses(self) -> Addresses:
        """Where it is reached, once it has started."""
        if self._addresses is None:
            message = "the stack has not been started: use it as a context manager"
            raise RuntimeError(message)
        return self._addresses

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; once only.

        Raises:
            StackError: Something did not start; what had started has been stopped.
        """
        try:
            kafka = self._start_kafka()
            self._create_topics(kafka)
            self._addresses = Addresses(kafka=kafka, redis_url=self._start_redis())
            for role in self._planned:
                self.roles.start(role)
            self._start_prometheus()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything in reverse order, each with its own grace. Idempotent."""
        self._stop(self.prometheus)
        if self._roles is not None:
            self._roles.stop_all()
        self._stop(self.redis)
        self._stop(self.kafka)

    @property
    def roles(self) -> RoleSet:
        """The roles, to start more of them or to stop one."""
        if self._roles is None:
            variables = {
                "HEADRACE_KAFKA": self.addresses.kafka,
                "HEADRACE_REDIS": self.addresses.redis_url,
            }
            self._roles = RoleSet(
                self._config.directory / "roles",
                variables,
                announce=self._announce,
                changed=self._watch,
            )
        return self._roles

    def states(self) -> list[ServerState]:
        """Return every part that has started, in the order of the start."""
        if self._addresses is None:
            return [] if self.kafka is None else [_state(self.kafka)]
        kafka, redis_url = self._addresses.kafka, without_password(self._addresses.redis_url)
        return [
            _state(self.kafka) if self.kafka else ServerState(name="kafka", address=kafka),
            _state(self.redis) if self.redis else ServerState(name="redis", address=redis_url),
            *(
                _state(process, self.roles.num_restarts(name))
                for name, process in self.roles.processes.items()
            ),
            *([_state(self.prometheus)] if self.prometheus else []),
        ]

    def _start_kafka(self) -> str:
        external = self._environment.kafka
        if external is not None:
            self._announce(f"using Kafka at {external}")
            if not broker_answers(external):
                message = (
                    f"HEADRACE_KAFKA: found no broker at {external}, expected one that answers;"
                    " start it, or unset the variable to have one started"
                )
                raise BrokerUnreachable(message)
            return external
        self._announce("starting Apache Kafka (its first start fetches 45 MB)")
        self.kafka = KafkaBroker(
            self._config.directory / "kafka",
            kafka_programs(self._environment),
            port=free_port(self._config.kafka_port),
        )
        self.kafka.start()
        return self.kafka.bootstrap

    def _create_topics(self, kafka: str) -> None:
        created = create_topics(kafka, self._config.topics)
        if created:
            self._announce(f"created topics: {', '.join(created)}")

    def _start_redis(self) -> str:
        external = self._environment.redis_url
        if external is not None:
            shown = without_password(external)
            self._announce(f"using Redis at {shown}")
            if not redis_answers(external):
                message = (
                    f"HEADRACE_REDIS: found no server at {shown}, expected one that answers;"
                    " start it, or unset the variable to have one started"
                )
                raise StartFailed(message)
            return external
        self._announce("starting Redis")
        self.redis = RedisServer(
            self._config.directory / "redis",
            find_redis_server(self._environment.path),
            port=free_port(self._config.redis_port),
            appendonly=self._config.redis_appendonly,
        )
        self.redis.start()
        return self.redis.url

    def _start_prometheus(self) -> None:
        program = find_prometheus(self._environment.path) if self._config.with_prometheus else None
        if program is None:
            return
        self._announce("starting Prometheus")
        self.prometheus = PrometheusServer(
            self._config.directory / "prometheus",
            program,
            port=free_port(self._config.prometheus_port),
        )
        self._watch()
        self.prometheus.start()
        self._addresses = msgspec.structs.replace(
            self.addresses, prometheus_url=self.prometheus.url
        )

    def _watch(self) -> None:
        if self.prometheus is not None:
            roles = self.roles.processes
            self.prometheus.watch({name: process.address for name, process in roles.items()})

    def _stop(self, server: Server | None) -> None:
        if server is None:
            return
        if server.alive:
            self._announce(f"stopping {server.name}")
        server.stop()


def _state(server: Server, num_restarts: int = 0) -> ServerState:
    return ServerState(
        name=server.name,
        address=server.address,
        log_path=str(server.log_path),
        process=server.record,
        num_restarts=num_restarts,
    )
