"""Who keeps the stack running after `headrace up` has returned? This process, in the background.

Run as a module: `python -m deploy.stack.supervisor FOLDER`. It finds what to run in the folder,
writes there what runs, and stops everything on SIGTERM.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from deploy.stack.environment import read_environment
from deploy.stack.errors import StackError, StartFailed
from deploy.stack.process import ProcessRecord
from deploy.stack.role import Role
from deploy.stack.stack import Stack, StackConfig
from deploy.stack.state import Phase, StackState, remove_state, write_state

_REQUEST = "request.json"
_UPDATE_INTERVAL_S = 0.5
# The sum of what its parts may take to stop, and some.
GRACE_S = 120.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to run."""

    config: StackConfig
    roles: tuple[Role, ...]


def write_request(request: Request) -> None:
    """Leave a request in its folder, for `main`."""
    directory = request.config.directory
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _REQUEST).write_bytes(msgspec.json.encode(request, enc_hook=str))


def read_request(directory: Path) -> Request:
    """Return the request that was left in the folder."""
    encoded = (directory / _REQUEST).read_bytes()
    # The only type that needs the hook is Path.
    return msgspec.json.decode(encoded, type=Request, dec_hook=lambda kind, text: kind(text))


def main(arguments: Sequence[str]) -> int:
    """Run the request of a folder until a signal; return the exit status."""
    try:
        return supervise(read_request(Path(arguments[0])))
    except StackError as error:
        print(error, flush=True)  # noqa: T201 - this process's log
        return 1


def supervise(request: Request) -> int:
    """Run the stack until SIGINT or SIGTERM, writing its state whenever that changes.

    Returns:
        The exit status: 0, or 1 if it did not start; then the state says why.

    Raises:
        StartFailed: Another supervisor runs in this folder.
    """
    directory = request.config.directory
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"found a stack running in {directory}, expected none;"
                " see `headrace status`, stop it with `headrace down`"
            )
            raise StartFailed(message) from error
        return _supervise(request, _StateFile(directory))


def _supervise(request: Request, state: _StateFile) -> int:
    # SIGINT too: a shell that starts something in the background has it ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        environment = read_environment(os.environ)
        stack = Stack(request.config, environment, roles=request.roles, announce=state.announce)
        with stack:
            _watch(stack, state)
    except StackError as error:
        state.update(phase=Phase.FAILED, message=str(error))
        return 1
    except KeyboardInterrupt:
        state.remove()
    return 0


def _watch(stack: Stack, state: _StateFile) -> None:
    """Keep the state up to date until a signal interrupts it."""
    try:
        while True:
            servers = tuple(stack.states())
            state.update(phase=Phase.READY, addresses=stack.addresses, servers=servers)
            time.sleep(_UPDATE_INTERVAL_S)
    finally:
        # Each part has its grace and is then killed: a second signal has nothing to hurry.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        state.update(phase=Phase.STOPPING)


class _StateFile:
    """The folder's state, written only when it changes."""

    def __init__(self, directory: Path) -> None:
        own = psutil.Process()
        supervisor = ProcessRecord(
            name="supervisor",
            pid=own.pid,
            created_s=own.create_time(),
            log_path=str(directory / "supervisor.log"),
            grace_s=GRACE_S,
        )
        self._directory = directory
        self._state = StackState(phase=Phase.STARTING, supervisor=supervisor)
        # Roles are announced from the thread that starts them again.
        self._lock = threading.Lock()
        write_state(directory, self._state)

    def announce(self, message: str) -> None:
        print(message, flush=True)  # noqa: T201 - this process's log
        self.update(message=message)

    def update(self, **changes: object) -> None:
        with self._lock:
            changed = msgspec.structs.replace(self._state, **changes)
            if changed != self._state:
                self._state = changed
                write_state(self._directory, changed)

    def remove(self) -> None:
        remove_state(self._directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
