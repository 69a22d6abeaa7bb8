"""Worker processes that tests start, kill and read."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from tests.streams.engine.counting_worker import WorkerSpec

PROJECT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60.0


class WorkerProcess:
    """One counting worker."""

    def __init__(self, spec: WorkerSpec, log_path: Path) -> None:
        self._log_path = log_path
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.streams.engine.counting_worker",
                    msgspec.json.encode(spec).decode(),
                ],
                cwd=PROJECT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log_path.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, *, deadline_s: float = DEADLINE_S) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    def until_output(self, text: str) -> None:
        until(lambda: text in self.output, what=f"{text!r} in {self._log_path}")


def until(is_so: Callable[[], bool], *, what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition; fail when it does not come."""
    ends_s = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() > ends_s:
            raise TimeoutError(f"waited {deadline_s:g} s for {what}")
        time.sleep(0.02)
