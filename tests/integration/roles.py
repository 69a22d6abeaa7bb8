"""Roles of Headrace as processes of their own, for tests that kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.stack.ports import free_port

START_S = 60.0
"""How long a role may take until its metrics answer, on a busy machine."""

_ROLE = (
    "import logging, os, sys; logging.basicConfig(level='INFO');"
    "from streams.config import load_config; from streams.{0}.{0} import run_{0};"
    "sys.exit(run_{0}(load_config(None, os.environ, sys.argv[1:])))"
)


@dataclass(slots=True, kw_only=True)
class RoleProcess:
    """One role, started; its output goes to `log_path`."""

    name: str
    code: str
    overrides: tuple[str, ...]
    environment: Mapping[str, str]
    log_path: Path
    metrics_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        port_variable = f"HEADRACE_{self.name.upper()}_METRICS_PORT"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # the interpreter that runs this
                [sys.executable, "-c", self.code, *self.overrides],
                env={**os.environ, **self.environment, port_variable: str(self.metrics_port)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; fails the test if it was never started."""
        assert self._process is not None
        return self._process

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(timeout=START_S)

    def log(self) -> str:
        """Everything that it printed."""
        return self.log_path.read_text(errors="replace")

    def metric(self, sample: str) -> float:
        """A sample of its metrics by name and labels; 0 while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0.0
        return next((float(line.split()[-1]) for line in lines if line.startswith(sample)), 0.0)


@contextmanager
def running_worker(
    tmp_path: Path, *, kafka: str, redis_url: str, prefix: str, number: int = 0, **settings: object
) -> Iterator[RoleProcess]:
    """Run a worker on topics with this prefix; `a__b=value` is the setting `a.b`."""
    settings = {"worker__group": f"{prefix}worker", **settings}
    with _running(
        "worker", tmp_path / f"worker-{number}.log", kafka, redis_url, prefix, settings
    ) as worker:
        yield worker


@contextmanager
def running_learner(
    tmp_path: Path, *, kafka: str, redis_url: str, prefix: str, **settings: object
) -> Iterator[RoleProcess]:
    """Run the learner on topics with this prefix."""
    settings = {
        "learner__group": f"{prefix}learner",
        "learner__delta_interval_s": 0.2,
        **settings,
    }
    log_path = tmp_path / "learner.log"
    with _running("learner", log_path, kafka, redis_url, prefix, settings) as learner:
        yield learner


@contextmanager
def running_trainer(
    tmp_path: Path, *, kafka: str, redis_url: str, prefix: str, number: int = 0, **settings: object
) -> Iterator[RoleProcess]:
    """Run a trainer that needs few actions; bundles and history go to `models` in `tmp_path`."""
    settings = {
        "trainer__folder": str(tmp_path / "models"),
        "trainer__min_actions": 300,
        **settings,
    }
    log_path = tmp_path / f"trainer-{number}.log"
    with _running("trainer", log_path, kafka, redis_url, prefix, settings) as trainer:
        yield trainer


@contextmanager
def _running(
    name: str,
    log_path: Path,
    kafka: str,
    redis_url: str,
    prefix: str,
    settings: Mapping[str, object],
) -> Iterator[RoleProcess]:
    topics = ("events", "items", "examples", "models")
    overrides = [f"kafka.topics.{topic}={prefix}{topic}" for topic in topics]
    overrides += [f"kafka.topics.dead_letters={prefix}events.dead-letters"]
    overrides += [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    role = RoleProcess(
        name=name,
        code=_ROLE.format(name),
        overrides=tuple(overrides),
        environment={"HEADRACE_KAFKA": kafka, "HEADRACE_REDIS": redis_url},
        log_path=log_path,
    )
    role.start()
    try:
        yield role
    finally:
        role.stop()


def until(holds: Callable[[], object], *, what: str, deadline_s: float = START_S) -> None:
    """Return once `holds` is true; fail the test after the deadline."""
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.05)
