"""What can one do with every server of the stack, whichever it is?"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from deploy.stack.errors import StartFailed
from deploy.stack.ports import LOOPBACK, free_port, is_free
from deploy.stack.process import ManagedProcess, ProcessRecord, ProcessSpec


class Server(ABC):
    """A local server on a port of its own, which it keeps over restarts.

    On Linux it dies with the thread that started it, whatever ends that.

    Args:
        name: Unique within the stack.
        directory: Its data and its log; made when it starts.
        port: Where it listens; a free one if None.
        grace_s: How long it may take to stop.
        ready_s: How long it may take until it answers.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        port: int | None = None,
        grace_s: float,
        ready_s: float,
    ) -> None:
        self.name = name
        # Absolute: some servers change their working directory.
        self.directory = directory.absolute()
        self.port = free_port() if port is None else port
        self._grace_s = grace_s
        self._ready_s = ready_s
        self._process: ManagedProcess | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log_path(self) -> Path:
        """Everything that it prints, over all its starts."""
        return self.directory / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        """Whether its process runs (it may be paused)."""
        return self._process is not None and self._process.alive

    @property
    def record(self) -> ProcessRecord | None:
        """How another process finds it again; None before its first start."""
        return None if self._process is None else self._process.record

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._started().pid

    def start(self) -> None:
        """Start it and return once it answers; does nothing if it runs.

        Raises:
            StartFailed: It ended or did not answer in time; nothing is left running.
        """
        if self.alive:
            return
        process = self.launch()
        try:
            process.wait_until(self._answers, deadline_s=self._ready_s)
        except BaseException:
            process.kill()
            raise

    def launch(self) -> ManagedProcess:
        """Start it without waiting for it to answer.

        Raises:
            StartFailed: It cannot be started here.
        """
        # Otherwise whoever listens there would answer the probe in its place.
        if not is_free(self.port):
            message = (
                f"{self.name} cannot start: found another server on {self.address}, expected a free"
                " port; stop that one, or choose another port"
            )
            raise StartFailed(message)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._prepare()
        self._process = ManagedProcess.start(
            ProcessSpec(
                name=self.name,
                argv=tuple(self._argv()),
                log_path=self.log_path,
                environment=self._environment(),
                grace_s=self._grace_s,
            )
        )
        return self._process

    def stop(self) -> None:
        """Ask it to end, wait for its grace, then force it; data stays. Idempotent."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); data stays as the crash left it."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop and start it on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Keep it from running while its connections stay open (SIGSTOP)."""
        self._started().pause()

    def resume(self) -> None:
        """Let it go on after `pause`; does nothing if it runs."""
        self._started().resume()

    def _started(self) -> ManagedProcess:
        if self._process is None:
            message = f"{self.name} was never started: start() it first"
            raise RuntimeError(message)
        return self._process

    @abstractmethod
    def _argv(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a client would be served now."""

    def _environment(self) -> Mapping[str, str]:
        """Variables that the program gets beside those of this process."""
        return {}

    def _prepare(self) -> None:  # noqa: B027 - most servers need nothing
        """Write what the program reads; called before each start."""
