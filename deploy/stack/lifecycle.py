"""How does one start, look at and stop a stack that runs in the background?"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.errors import StartFailed
from deploy.stack.process import ManagedProcess, ProcessSpec
from deploy.stack.role import Role
from deploy.stack.stack import StackConfig
from deploy.stack.state import Addresses, Phase, ServerState, StackState, read_state, remove_state
from deploy.stack.supervisor import GRACE_S, Request, write_request

# Long enough to fetch Kafka over a slow line.
_DEADLINE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One part of the stack as it is now.

    Attributes:
        state: What the stack has noted about it.
        alive: Whether its process runs; None if it is not ours.
        rss_bytes: Its resident memory; None if it is not ours.
        uptime_s: Since its last start; None if it does not run or is not ours.
    """

    state: ServerState
    alive: bool | None
    rss_bytes: int | None
    uptime_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """A stack as it is now."""

    phase: Phase
    addresses: Addresses | None
    servers: tuple[ServerStatus, ...]


def up(
    config: StackConfig,
    *,
    roles: Sequence[Role] = (),
    report: Callable[[str], None] = lambda _: None,
) -> Addresses:
    """Start the stack in the background and return once all of it answers.

    Does nothing but report where it is reached if one runs in that folder already, also if that
    has other roles.

    Args:
        config: What may be chosen.
        roles: What to run in it.
        report: Is told, in a few words, what is being done.

    Raises:
        StartFailed: Something did not start; nothing is left running.
    """
    running = _supervisor(read_state(config.directory))
    if running is not None:
        return _wait(running, config.directory, report)
    launched = _launch(config, roles)
    try:
        addresses = _wait(launched, config.directory, report)
    except BaseException:
        launched.stop()
        raise
    launched.release()
    return addresses


def down(
    directory: Path, *, wipe: bool = False, report: Callable[[str], None] = lambda _: None
) -> bool:
    """Stop the stack that runs in a folder, each part with its own grace.

    Args:
        directory: The folder.
        wipe: Whether to remove the folder as well: logs, topics, everything.
        report: Is told, in a few words, what is being done.

    Returns:
        Whether anything was running.
    """
    state = read_state(directory)
    supervisor = _supervisor(state)
    if supervisor is not None:
        report("stopping the stack")
        supervisor.stop()
    # Where nothing dies with its parent: what a supervisor that was killed has left.
    orphans = [process for process in _processes(state) if process.alive]
    for process in reversed(orphans):
        report(f"stopping {process.record.name}")
        process.stop()
    remove_state(directory)
    if wipe:
        shutil.rmtree(directory, ignore_errors=True)
    return supervisor is not None or bool(orphans)


def status(directory: Path) -> StackStatus | None:
    """Return what runs in a folder, or None if nothing does."""
    state = read_state(directory)
    if state is None or _supervisor(state) is None:
        return None
    return StackStatus(
        phase=state.phase,
        addresses=state.addresses,
        servers=tuple(_server_status(server) for server in state.servers),
    )


def _wait(supervisor: ManagedProcess, directory: Path, report: Callable[[str], None]) -> Addresses:
    told = ""
    addresses: Addresses | None = None

    def is_ready() -> bool:
        nonlocal told, addresses
        state = read_state(directory)
        # An earlier supervisor's last words are not this one's.
        if state is None or state.supervisor.pid != supervisor.pid:
            return False
        if state.phase is Phase.FAILED:
            raise StartFailed(state.message)
        if state.message != told:
            told = state.message
            report(told)
        addresses = state.addresses
        return state.phase is Phase.READY

    supervisor.wait_until(is_ready, deadline_s=_DEADLINE_S)
    assert addresses is not None, "a stack that is ready has addresses"
    return addresses


def _launch(config: StackConfig, roles: Sequence[Role]) -> ManagedProcess:
    write_request(Request(config=config, roles=tuple(roles)))
    return ManagedProcess.start(
        ProcessSpec(
            name="the stack",
            argv=(sys.executable, "-m", "deploy.stack.supervisor", str(config.directory)),
            log_path=config.directory / "supervisor.log",
            grace_s=GRACE_S,
            tethered=False,
        )
    )


def _supervisor(state: StackState | None) -> ManagedProcess | None:
    if state is None or state.phase is Phase.FAILED:
        return None
    return ManagedProcess.attach(state.supervisor)


def _processes(state: StackState | None) -> list[ManagedProcess]:
    records = [server.process for server in state.servers if server.process] if state else []
    found = [ManagedProcess.attach(record) for record in records]
    return [process for process in found if process is not None]


def _server_status(server: ServerState) -> ServerStatus:
    if server.process is None:
        return ServerStatus(state=server, alive=None, rss_bytes=None, uptime_s=None)
    process = ManagedProcess.attach(server.process)
    if process is None:
        return ServerStatus(state=server, alive=False, rss_bytes=0, uptime_s=None)
    return ServerStatus(
        state=server,
        alive=True,
        rss_bytes=process.rss_bytes,
        uptime_s=time.time() - server.process.created_s,
    )
