"""Which faults end the process, and with which exit code does a supervisor see them?"""

from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_START_POSITION: Final = 3
EXIT_STALLED: Final = 4
EXIT_UNCLEAN_STOP: Final = 5


class EngineError(Exception):
    """Root of everything that the stream engine raises."""


class EngineConfigError(EngineError, ValueError):
    """A setting of the engine is out of range; the message lists every bad one."""


class FatalEngineError(EngineError):
    """The process cannot go on without risking a lost or doubled event.

    Nothing that was unfinished when it arose is committed. Restarting is safe, and is what a
    supervisor should do, unless the message names a remedy that needs a person.
    """

    exit_code: ClassVar[int] = EXIT_FAILED


class HandlerError(FatalEngineError):
    """An exception escaped a slice handler or a task that runs beside it."""


class StartPositionError(FatalEngineError):
    """No start position could be established for a partition that was assigned to us."""

    exit_code: ClassVar[int] = EXIT_START_POSITION


class StalledError(FatalEngineError):
    """Events were waiting and none was finished for longer than the stall time-out."""

    exit_code: ClassVar[int] = EXIT_STALLED


class ProduceError(FatalEngineError):
    """The broker refuses a record for a reason that no retry will change."""


class ProduceDeadlineError(FatalEngineError):
    """A record was not acknowledged before the caller's deadline."""


class UnreadableTopicError(EngineError):
    """A topic that is to be read as a whole does not exist or has no partition."""
