"""How does an application run in this process, from start to exit code?"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import threading

from streams.engine.app import SliceApp
from streams.engine.errors import EXIT_UNCLEAN_STOP, FatalEngineError, HandlerError
from streams.engine.liveness import ProgressWatch

logger = logging.getLogger(__name__)

DRAIN_SHARE = 0.5
"""Part of the grace that a graceful stop gives the slice in progress."""


def run_app(app: SliceApp) -> int:
    """Run an application until it is stopped, or fails.

    SIGTERM and SIGINT finish the slice in progress, leave the group and return 0. A failure
    commits nothing any more and returns the failure's exit code. Either takes at most
    `stop_grace_s`; then the process is ended from within, whatever still hangs in it. Logging is
    the caller's: nothing here configures it.

    Args:
        app: What build_app made, with its agents.

    Returns:
        The exit code for sys.exit.
    """
    loop = app.engine.new_loop()
    # Faust binds a service to the loop that it finds when it first asks.
    asyncio.set_event_loop(loop)
    running = loop.create_task(_run(app))
    try:
        _run_to_the_end(app, loop, running)
        return app.control.exit_code
    finally:
        _close_loop(loop)


def _run_to_the_end(
    app: SliceApp, loop: asyncio.AbstractEventLoop, running: asyncio.Task[None]
) -> None:
    # A handler that raises SystemExit or KeyboardInterrupt ends the loop at once, asyncio lets
    # them through. Without an orderly stop the threads beside it would keep the process alive.
    while not running.done():
        try:
            loop.run_until_complete(running)
        except (KeyboardInterrupt, SystemExit) as error:
            app.control.fail(HandlerError(f"A handler raised {type(error).__name__}({error})"))


async def _run(app: SliceApp) -> None:
    control = app.control
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, control.stop)
    watch = ProgressWatch(app)
    starting = asyncio.create_task(app.start())
    ends = [
        asyncio.create_task(control.wait()),
        asyncio.create_task(app.wait_until_stopped()),
    ]
    last_resort = LastResort(app)
    control.when_stopping(last_resort.arm)
    try:
        watch.start()
        await _until_start_fails_or_any_ends(starting, ends)
        _report_crash(app, starting)
    finally:
        control.stop()
        watch.stop()
        for end in ends:
            end.cancel()
    await _stop(app, starting)
    last_resort.disarm()


async def _until_start_fails_or_any_ends(
    starting: asyncio.Task[None], ends: list[asyncio.Task[None]]
) -> None:
    await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and starting.exception() is None:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)


def _report_crash(app: SliceApp, starting: asyncio.Task[None]) -> None:
    start_error = starting.exception() if starting.done() else None
    error = start_error or app.crash_reason
    if error is None or app.control.is_failed:
        return
    failure = FatalEngineError(f"The application crashed: {type(error).__name__}: {error}")
    failure.__cause__ = error
    app.control.fail(failure)


async def _stop(app: SliceApp, starting: asyncio.Task[None]) -> None:
    control = app.control
    if not control.is_failed:
        await _drain(app)
    # What agents acknowledge while they are cancelled has not been processed.
    control.close_commits()
    await app.stop()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)


async def _drain(app: SliceApp) -> None:
    """Deliver nothing more, let the slice in progress finish, and commit."""
    try:
        async with asyncio.timeout(app.engine.config.stop_grace_s * DRAIN_SHARE):
            await app.drain()
    except TimeoutError:
        logger.warning("The slice in progress outlasts the stop; it will be delivered again.")


class LastResort:
    """Ends the process when an orderly stop does not, from a thread of its own.

    The thread that armed it may be any: the event loop may be what hangs.
    """

    def __init__(self, app: SliceApp) -> None:
        self._app = app
        self._disarmed = threading.Event()

    def arm(self) -> None:
        """Start counting."""
        threading.Thread(target=self._count, name="last-resort", daemon=True).start()

    def disarm(self) -> None:
        """The stop has come to its end by itself."""
        self._disarmed.set()

    def _count(self) -> None:
        grace_s = self._app.engine.config.stop_grace_s
        if self._disarmed.wait(grace_s):
            return
        logger.critical("Not stopped within %g s; ending the process, which is at:", grace_s)
        logging.shutdown()
        faulthandler.dump_traceback(all_threads=True)
        os._exit(self._app.control.exit_code or EXIT_UNCLEAN_STOP)


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    if tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            loop.run_until_complete(asyncio.wait(tasks))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()
