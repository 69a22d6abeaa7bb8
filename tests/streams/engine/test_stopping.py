import asyncio
import threading
from dataclasses import dataclass

import pytest

from streams.engine.errors import EXIT_FAILED, EXIT_OK, EXIT_STALLED, HandlerError, StalledError
from streams.engine.stopping import StopControl, fail_stop


@dataclass
class App:
    control: StopControl


def test_asking_for_the_end_is_no_failure() -> None:
    control = StopControl()
    control.stop()
    assert control.is_stopping
    assert not control.is_failed
    assert control.may_commit
    assert control.exit_code == EXIT_OK


def test_first_failure_wins() -> None:
    control = StopControl()
    control.fail(StalledError("stalled"))
    control.fail(HandlerError("cancelled, because we are stopping"))
    assert control.exit_code == EXIT_STALLED
    assert isinstance(control.reason, StalledError)


def test_failure_closes_commits_at_once() -> None:
    control = StopControl()
    control.fail(HandlerError("broken"))
    assert not control.may_commit


def test_waiter_hears_of_a_stop_from_another_thread() -> None:
    control = StopControl()

    async def wait() -> None:
        threading.Thread(target=control.stop).start()
        async with asyncio.timeout(5):
            await control.wait()

    asyncio.run(wait())
    assert control.is_stopping


def test_waiter_that_comes_late_returns_at_once() -> None:
    control = StopControl()
    control.stop()

    async def wait() -> None:
        async with asyncio.timeout(5):
            await control.wait()

    asyncio.run(wait())


def test_fail_stop_ends_the_process_and_lets_the_exception_through() -> None:
    app = App(StopControl())
    with pytest.raises(KeyError), fail_stop(app, "following the deltas"):
        raise KeyError("base")
    assert app.control.exit_code == EXIT_FAILED
    assert "KeyError while following the deltas" in str(app.control.reason)


def test_fail_stop_keeps_the_exit_code_of_a_fatal_error() -> None:
    app = App(StopControl())
    with pytest.raises(StalledError), fail_stop(app, "waiting"):
        raise StalledError("too long")
    assert app.control.exit_code == EXIT_STALLED


def test_fail_stop_takes_no_notice_of_cancellation() -> None:
    app = App(StopControl())
    with pytest.raises(asyncio.CancelledError), fail_stop(app, "waiting"):
        raise asyncio.CancelledError
    assert not app.control.is_stopping
