"""How does the process end: who may ask for it, with which exit code, and by when?"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from streams.engine.errors import EXIT_OK, FatalEngineError, HandlerError

logger = logging.getLogger(__name__)


class StopControl:
    """The one place that decides that, and why, the process ends. Safe from any thread.

    The first failure wins. From the moment that it is reported nothing more is committed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: FatalEngineError | None = None
        self._stop_requested = threading.Event()
        self._commits_closed = threading.Event()
        self._when_stopping: list[Callable[[], None]] = []
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def reason(self) -> FatalEngineError | None:
        """What failed; None while nothing has."""
        return self._reason

    @property
    def is_failed(self) -> bool:
        """Whether the process ends because of a fault."""
        return self._reason is not None

    @property
    def may_commit(self) -> bool:
        """Whether what agents acknowledge has really been processed."""
        return not self._commits_closed.is_set()

    @property
    def is_stopping(self) -> bool:
        """Whether the process is about to end, for whatever reason."""
        return self._stop_requested.is_set()

    @property
    def exit_code(self) -> int:
        """The exit code that the process ends with if nothing else happens."""
        return EXIT_OK if self._reason is None else self._reason.exit_code

    def fail(self, reason: FatalEngineError) -> None:
        """End the process with the exit code of this reason, unless another came first."""
        with self._lock:
            is_first = self._reason is None
            if is_first:
                self._reason = reason
                self._commits_closed.set()
        if is_first:
            logger.critical("Stopping: %s", reason, exc_info=reason)
        self.stop()

    def close_commits(self) -> None:
        """Commit nothing from now on."""
        self._commits_closed.set()

    def stop(self) -> None:
        """End the process gracefully."""
        with self._lock:
            is_first = not self._stop_requested.is_set()
            self._stop_requested.set()
            waiter = self._waiter
        if is_first:
            for callback in self._when_stopping:
                callback()
        if waiter is not None:
            loop, event = waiter
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def when_stopping(self, callback: Callable[[], None]) -> None:
        """Have something called once, in the thread that asks for the end, before it is heard."""
        self._when_stopping.append(callback)

    async def wait(self) -> None:
        """Return once somebody has asked for the end. One waiter at a time."""
        event = asyncio.Event()
        with self._lock:
            self._waiter = (asyncio.get_running_loop(), event)
        if self._stop_requested.is_set():
            event.set()
        await event.wait()


class Stoppable(Protocol):
    """Anything whose process can be ended through its control."""

    @property
    def control(self) -> StopControl:
        """The control of the process."""
        ...


@contextmanager
def fail_stop(app: Stoppable, what: str) -> Iterator[None]:
    """End the process when an exception leaves the block, and commit nothing any more.

    Agents have this anyway. It is for tasks beside them without which the worker must not go on,
    such as the one that follows the learner's deltas.

    Args:
        app: The application whose process ends.
        what: What the block does, for the message: "following the deltas".
    """
    try:
        yield
    except FatalEngineError as error:
        app.control.fail(error)
        raise
    except Exception as error:
        failure = HandlerError(f"{type(error).__name__} while {what}: {error}")
        failure.__cause__ = error
        app.control.fail(failure)
        raise
