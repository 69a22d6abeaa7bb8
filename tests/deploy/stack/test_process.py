"""A process of the stack starts, answers in time, and ends with all that it started."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.stack.errors import StartFailed
from deploy.stack.process import ManagedProcess, ProcessSpec
from tests.deploy.stack.test_stack import wait_until

# Says when its handlers are in place, so that no test signals it too early.
OBEDIENT = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"
WITH_CHILD = (
    "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c',"
    f" {OBEDIENT!r}]).pid, flush=True); {OBEDIENT}"
)


def spec(tmp_path: Path, program: str, *, grace_s: float = 10.0) -> ProcessSpec:
    return ProcessSpec(
        name="program",
        argv=(sys.executable, "-c", program),
        log_path=tmp_path / "program.log",
        grace_s=grace_s,
    )


def started(spec: ProcessSpec) -> ManagedProcess:
    process = ManagedProcess.start(spec)
    process.wait_until(lambda: "ready" in spec.log_path.read_text(), deadline_s=30)
    return process


def test_obedient_process_ends_within_its_grace(tmp_path: Path) -> None:
    process = started(spec(tmp_path, OBEDIENT))
    process.stop()
    assert not process.alive
    assert not psutil.pid_exists(process.pid)
    process.stop()


def test_stubborn_process_is_killed_after_its_grace(tmp_path: Path) -> None:
    process = started(spec(tmp_path, STUBBORN, grace_s=0.1))
    process.stop()
    assert not psutil.pid_exists(process.pid)


def test_paused_process_does_not_run_and_can_be_stopped(tmp_path: Path) -> None:
    process = started(spec(tmp_path, OBEDIENT))
    process.pause()
    assert process.alive
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    process.stop()
    assert not psutil.pid_exists(process.pid)


def test_what_a_killed_process_has_started_ends_too(tmp_path: Path) -> None:
    with_child = spec(tmp_path, WITH_CHILD)
    process = started(with_child)
    wait_until(lambda: with_child.log_path.read_text().count("ready") == 2)
    grandchild = int(with_child.log_path.read_text().split()[0])
    process.kill()
    wait_until(
        lambda: (
            not psutil.pid_exists(grandchild)
            or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE
        )
    )


def test_process_that_ends_instead_of_answering_is_told_with_its_log(tmp_path: Path) -> None:
    process = ManagedProcess.start(spec(tmp_path, "raise SystemExit('no such topic')"))
    with pytest.raises(StartFailed, match=r"(?s)found exit status 1.*no such topic"):
        process.wait_until(lambda: False, deadline_s=30)


def test_process_that_never_answers_is_told_after_the_deadline(tmp_path: Path) -> None:
    process = started(spec(tmp_path, OBEDIENT))
    with pytest.raises(StartFailed, match=r"no answer within 0\.05 s"):
        process.wait_until(lambda: False, deadline_s=0.05)
    process.kill()


def test_missing_program_is_told(tmp_path: Path) -> None:
    missing = dataclasses.replace(spec(tmp_path, ""), argv=("/no/such/program",), tethered=False)
    with pytest.raises(StartFailed, match="expected a program at /no/such/program"):
        ManagedProcess.start(missing)


def test_record_finds_the_process_again(tmp_path: Path) -> None:
    process = started(spec(tmp_path, OBEDIENT))
    found = ManagedProcess.attach(process.record)
    assert found is not None
    assert found.rss_bytes > 0
    found.stop()
    assert not process.alive
    assert ManagedProcess.attach(process.record) is None


def test_reused_pid_is_not_taken_for_the_process(tmp_path: Path) -> None:
    process = started(spec(tmp_path, OBEDIENT))
    older = dataclasses.replace(process.record, created_s=process.record.created_s - 60)
    assert ManagedProcess.attach(older) is None
    process.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_tethered_process_dies_with_a_killed_parent(tmp_path: Path) -> None:
    parent_program = (
        "import sys; from pathlib import Path;"
        " from tests.deploy.stack.test_process import OBEDIENT, spec, started;"
        " print(started(spec(Path(sys.argv[1]), OBEDIENT)).pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(
        lambda: (
            not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        )
    )
