"""How is a process of the stack started, probed until it answers, and stopped?"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

from deploy.stack import tether
from deploy.stack.errors import StartFailed

_POLL_S = 0.02
_LOG_TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What to start.

    Attributes:
        name: Unique within the stack; names the process in messages.
        argv: Program and arguments; never passed to a shell.
        log_path: Standard output and error are appended here.
        environment: Variables added to those of this process.
        grace_s: How long the process may take to stop once it is asked to.
        tethered: Whether it dies with the thread that starts it. Linux only; elsewhere it is
            stopped by `stop` alone.
    """

    name: str
    argv: tuple[str, ...]
    log_path: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 10.0
    tethered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """How another process finds this one again: a pid alone may have been reused."""

    name: str
    pid: int
    created_s: float
    log_path: str
    grace_s: float


class ManagedProcess:
    """A running process, in a process group of its own.

    It does not receive a terminal's Ctrl-C, so that the stack can stop its parts in order.
    """

    def __init__(
        self, record: ProcessRecord, process: psutil.Process, child: subprocess.Popen[bytes] | None
    ) -> None:
        self.record = record
        self._process = process
        # Only the parent can (and must) collect an ended process.
        self._child = child

    @classmethod
    def start(cls, spec: ProcessSpec) -> Self:
        """Start the process and return at once; see `wait_until`.

        Raises:
            StartFailed: The program cannot be executed.
        """
        spec.log_path.parent.mkdir(parents=True, exist_ok=True)
        argv = list(spec.argv)
        if spec.tethered and sys.platform == "linux":
            argv = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *argv]
        with spec.log_path.open("ab") as log:
            try:
                child = subprocess.Popen(  # noqa: S603 - argv is the stack's own
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **spec.environment},
                    # Apart from the terminal's Ctrl-C in any case. In one session, because Linux
                    # weighs sessions against each other first, whatever a process's niceness.
                    start_new_session=not spec.tethered,
                    process_group=0 if spec.tethered else None,
                )
            except OSError as error:
                message = (
                    f"cannot start {spec.name}: found {error}; expected a program at {argv[0]}"
                )
                raise StartFailed(message) from error
        process = psutil.Process(child.pid)
        record = ProcessRecord(
            name=spec.name,
            pid=child.pid,
            created_s=process.create_time(),
            log_path=str(spec.log_path),
            grace_s=spec.grace_s,
        )
        return cls(record, process, child)

    @classmethod
    def attach(cls, record: ProcessRecord) -> Self | None:
        """Return the process of a record, or None if it has ended."""
        try:
            process = psutil.Process(record.pid)
            # Half a second: the kernel's clock ticks and a corrected wall clock.
            if abs(process.create_time() - record.created_s) > 0.5:
                return None
        except psutil.NoSuchProcess:
            return None
        found = cls(record, process, None)
        return found if found.alive else None

    @property
    def pid(self) -> int:
        """Process id, also the id of its process group."""
        return self.record.pid

    @property
    def alive(self) -> bool:
        """Whether it runs; a paused process does, one that waits to be collected does not."""
        if self._child is not None:
            return self._child.poll() is None
        try:
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    @property
    def rss_bytes(self) -> int:
        """Resident memory; 0 once it has ended."""
        try:
            return int(self._process.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def wait_until(self, answers: Callable[[], bool], *, deadline_s: float) -> None:
        """Wait until the probe succeeds.

        Args:
            answers: The probe; False means not yet. What it raises is not caught.
            deadline_s: How long to wait.

        Raises:
            StartFailed: The process ended, or the deadline passed; with the end of its log.
        """
        end_s = time.monotonic() + deadline_s
        while self.alive:
            if answers():
                return
            if time.monotonic() > end_s:
                raise StartFailed(self._failure(f"no answer within {deadline_s:g} s"))
            time.sleep(_POLL_S)
        raise StartFailed(self._failure(f"exit status {self._exit_status()}"))

    def stop(self) -> None:
        """Ask it to end, wait for its grace, then end it and all that it started. Idempotent."""
        # A paused process cannot act on SIGTERM.
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        if not self._ended_within(self.record.grace_s):
            self._signal(signal.SIGKILL)
        self._end_group()

    def kill(self) -> None:
        """End it and all that it started at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self._end_group()

    def pause(self) -> None:
        """Stop it from running until `resume`; returns once it has really stopped."""
        self._signal(signal.SIGSTOP)
        while self.alive and self._process.status() != psutil.STATUS_STOPPED:
            time.sleep(_POLL_S)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def release(self) -> None:
        """Let an untethered process outlive this one."""
        if self._child is not None:
            # Otherwise Popen warns, when it is collected, that its process still runs.
            self._child.returncode = 0
            self._child = None

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._process.send_signal(number)

    def _ended_within(self, seconds: float) -> bool:
        end_s = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > end_s:
                return False
            time.sleep(_POLL_S)
        return True

    def _end_group(self) -> None:
        # What the process itself had started and left behind; if nothing, the group is gone.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._ended_within(self.record.grace_s)

    def _exit_status(self) -> str:
        return "unknown" if self._child is None else str(self._child.returncode)

    def _failure(self, found: str) -> str:
        tail = Path(self.record.log_path).read_text(errors="replace").splitlines()
        shown = "\n  ".join(tail[-_LOG_TAIL_LINES:]) or "(empty)"
        return (
            f"{self.record.name} did not start: found {found}, expected an answer;"
            f" see {self.record.log_path}, which ends:\n  {shown}"
        )
