"""What can go wrong in a role, and with which exit code does its supervisor see it?

Roots: `StreamsError` for everything of this package; those that end a process are also engine
errors, so that nothing unfinished is committed. `EXIT_RESTART` asks to be started again at once,
`EXIT_REFUSED` needs a person: the message names the remedy.
"""

from __future__ import annotations

from typing import ClassVar, Final

from streams.engine import FatalEngineError

EXIT_RESTART: Final = 10
EXIT_REFUSED: Final = 11


class StreamsError(Exception):
    """Root of what this package raises."""


class RestartNeeded(StreamsError, FatalEngineError):
    """The store was flushed or restored under us, or a base was replaced: start again."""

    exit_code: ClassVar[int] = EXIT_RESTART


class StartRefused(StreamsError, FatalEngineError):
    """Going on would mix two histories: the store and the log do not belong together."""

    exit_code: ClassVar[int] = EXIT_REFUSED
