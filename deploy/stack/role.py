"""How does one of Headrace's own processes run in the stack?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.stack.prometheus_server import http_answers
from deploy.stack.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One process to run.

    Attributes:
        name: Unique within the stack, for example `worker-1`.
        argv: Program and arguments.
        metrics_port_variable: The variable that tells it on which port to serve its metrics; it
            is ready once it serves them there.
        environment: Further variables, beside HEADRACE_KAFKA and HEADRACE_REDIS.
        metrics_port: That port; a free one if None.
        grace_s: How long it may take to stop.
        ready_s: How long it may take until it serves its metrics.
    """

    name: str
    argv: tuple[str, ...]
    metrics_port_variable: str
    environment: Mapping[str, str] = field(default_factory=dict)
    metrics_port: int | None = None
    grace_s: float = 15.0
    ready_s: float = 60.0


class RoleProcess(Server):
    """A role that runs against the given addresses.

    Args:
        role: What to run.
        directory: Where its log is kept.
        environment: The addresses, as environment variables.
    """

    def __init__(self, role: Role, directory: Path, environment: Mapping[str, str]) -> None:
        super().__init__(
            role.name,
            directory,
            port=role.metrics_port,
            grace_s=role.grace_s,
            ready_s=role.ready_s,
        )
        self._role = role
        self._variables = {**environment, **role.environment}

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads it."""
        return f"http://{self.address}/metrics"

    def _environment(self) -> Mapping[str, str]:
        return self._variables | {self._role.metrics_port_variable: str(self.port)}

    def _argv(self) -> list[str]:
        return list(self._role.argv)

    def _answers(self) -> bool:
        return http_answers(self.metrics_url)
