"""The trainer yields to every other process, also where sessions are weighed against each other."""

import subprocess
import sys
from pathlib import Path

_SHOW = """
import os
from pathlib import Path
from streams.trainer import take_what_is_left
take_what_is_left()
print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE)
print(Path("/proc/self/autogroup").read_text() if Path("/proc/self/autogroup").exists() else "")
"""


def test_a_trainer_that_leads_a_session_takes_what_is_left_of_the_machine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SHOW], start_new_session=True, capture_output=True, check=True
    )

    niceness, _, autogroup = done.stdout.decode().strip().partition("\n")
    assert niceness == "19 True"
    if Path("/proc/self/autogroup").exists():
        assert autogroup.strip().endswith("nice 19")
