"""What runs, and where, in a form that another process can read?"""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

from deploy.stack.process import ProcessRecord

_FILE = "stack.json"


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the stack is reached.

    Attributes:
        kafka: Bootstrap servers.
        redis_url: With its password, if it has one.
        prometheus_url: None if there is no Prometheus.
    """

    kafka: str
    redis_url: str
    prometheus_url: str | None = None


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the stack.

    Attributes:
        name: `kafka`, `redis`, a role's name, `prometheus`.
        address: Where it listens; of a role, where it serves its metrics.
        log_path: What it prints; None if it is not ours.
        process: None if it is not ours: the environment named it.
        num_restarts: How often it ended by itself and was started again.
    """

    name: str
    address: str
    log_path: str | None = None
    process: ProcessRecord | None = None
    num_restarts: int = 0


class Phase(enum.Enum):
    """How far the stack is."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole stack.

    Attributes:
        phase: How far it is.
        supervisor: The process that runs it.
        message: What it is doing, or why it failed.
        addresses: None until it is ready.
        servers: Its parts.
    """

    phase: Phase
    supervisor: ProcessRecord
    message: str = ""
    addresses: Addresses | None = None
    servers: tuple[ServerState, ...] = ()


def write_state(directory: Path, state: StackState) -> None:
    """Replace the folder's state; a reader sees the old or the new one, never half of one."""
    scratch = directory / f".{_FILE}"
    # It may hold Redis's password.
    scratch.touch(mode=0o600)
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    scratch.rename(directory / _FILE)


def read_state(directory: Path) -> StackState | None:
    """Return the folder's state, or None if nothing was left running there.

    One of another version of Headrace, which cannot be read, counts as none.
    """
    try:
        return msgspec.json.decode((directory / _FILE).read_bytes(), type=StackState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remove_state(directory: Path) -> None:
    """Say that nothing runs there any more."""
    (directory / _FILE).unlink(missing_ok=True)
