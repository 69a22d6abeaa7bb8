"""Which roles run, and when does one that has ended start again?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.stack.errors import StackError
from deploy.stack.role import Role, RoleProcess

_TEND_INTERVAL_S = 0.2
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
# A role that has run for so long has recovered: its next end is a new story.
_RECOVERED_S = 60.0


class RoleSet:
    """Roles that run until they are stopped: one that ends by itself is started again.

    Args:
        directory: Where their logs are kept.
        environment: Variables for all of them.
        announce: Is told, in a few words, what is being done; from another thread too.
        changed: Is called after a role has come or gone.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        announce: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._announce = announce
        self._changed = changed
        self._processes: dict[str, RoleProcess] = {}
        self._policies: dict[str, RestartPolicy] = {}
        # Nothing may be started again while it is being stopped.
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._tender = threading.Thread(target=self._tend, name="role-tender", daemon=True)
        self._tender.start()

    @property
    def processes(self) -> dict[str, RoleProcess]:
        """The roles that should be running, by name, in the order of their start."""
        with self._lock:
            return dict(self._processes)

    def num_restarts(self, name: str) -> int:
        """Return how often a role has been started again."""
        with self._lock:
            return self._policies[name].num_restarts

    def start(self, role: Role) -> RoleProcess:
        """Start a role and return once it answers.

        Raises:
            StartFailed: It ended or did not answer in time.
        """
        self._announce(f"starting {role.name}")
        process = RoleProcess(role, self._directory, self._environment)
        policy = RestartPolicy()
        policy.started(now_s=time.monotonic())
        process.start()
        with self._lock:
            self._processes[role.name] = process
            self._policies[role.name] = policy
        self._changed()
        return process

    def stop(self, name: str) -> None:
        """Stop a role for good."""
        with self._lock:
            process = self._processes.pop(name)
            del self._policies[name]
            self._stop(process)
        self._changed()

    def stop_all(self) -> None:
        """Stop all roles, the last one first, and never start one again. Idempotent."""
        self._stopping.set()
        with self._lock:
            for process in reversed(self._processes.values()):
                self._stop(process)
        self._stopped.set()
        self._tender.join()

    def _stop(self, process: RoleProcess) -> None:
        if process.alive:
            self._announce(f"stopping {process.name}")
        process.stop()

    def _tend(self) -> None:
        while not self._stopping.wait(_TEND_INTERVAL_S):
            with self._lock:
                for name, process in self._processes.items():
                    self._tend_one(process, self._policies[name])
        # What this thread has started again dies with it, so it outlives their stopping.
        self._stopped.wait()

    def _tend_one(self, process: RoleProcess, policy: RestartPolicy) -> None:
        now_s = time.monotonic()
        if self._stopping.is_set() or process.alive or not policy.may_start(now_s=now_s):
            return
        policy.started(now_s=now_s)
        self._announce(f"starting {process.name} again: it had ended; see {process.log_path}")
        try:
            process.launch()
        except StackError as error:
            self._announce(f"{process.name} does not start: {error}")


class RestartPolicy:
    """When may an ended role start again? After a delay that doubles from failure to failure.

    >>> policy = RestartPolicy()
    >>> policy.started(now_s=0.0)
    >>> policy.may_start(now_s=3.0), policy.may_start(now_s=3.4), policy.may_start(now_s=3.5)
    (False, False, True)
    >>> policy.started(now_s=3.5)
    >>> policy.may_start(now_s=4.0), policy.may_start(now_s=4.9), policy.may_start(now_s=5.0)
    (False, False, True)
    >>> policy.num_restarts
    1
    """

    def __init__(self) -> None:
        self._num_starts = 0
        self._delay_s = _FIRST_DELAY_S
        self._started_s = 0.0
        self._ended_s: float | None = None

    @property
    def num_restarts(self) -> int:
        """How often it has been started after its first start."""
        return max(self._num_starts - 1, 0)

    def started(self, *, now_s: float) -> None:
        """Note a start."""
        self._num_starts += 1
        self._started_s = now_s
        self._ended_s = None

    def may_start(self, *, now_s: float) -> bool:
        """Return whether an ended role may start now; called often while it is down."""
        if self._ended_s is None:
            self._ended_s = now_s
            fresh = self._num_starts == 1 or now_s - self._started_s > _RECOVERED_S
            self._delay_s = _FIRST_DELAY_S if fresh else min(2 * self._delay_s, _LONGEST_DELAY_S)
        return now_s - self._ended_s >= self._delay_s
