"""Is anything being finished while something waits?"""

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Final

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.engine.errors import StalledError
from streams.engine.ledger import PartitionProgress

if TYPE_CHECKING:
    from streams.engine.app import SliceApp

logger = logging.getLogger(__name__)

LOOKS_PER_TIMEOUT: Final = 6


class StallDetector:
    """Decides from successive observations which partitions have stalled. Pure.

    A partition counts as stalled when it has had lag, and its next offset has stood still, for
    the whole time-out. Catching up, however slowly, is no stall; nor is having nothing to do.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._seen: dict[TP, tuple[int, float]] = {}

    def observe(self, progress: Mapping[TP, PartitionProgress], *, now_s: float) -> list[TP]:
        """Take an observation, and name the partitions that have stalled.

        >>> stalls, tp = StallDetector(timeout_s=60), TP("events", 0)
        >>> stalls.observe({tp: PartitionProgress(10, 90)}, now_s=0)
        []
        >>> stalls.observe({tp: PartitionProgress(10, 95)}, now_s=60)
        [TP(topic='events', partition=0)]
        """
        for tp in self._seen.keys() - progress.keys():
            del self._seen[tp]
        stalled = []
        for tp, (next_offset, log_end) in progress.items():
            seen = self._seen.get(tp)
            if seen is None or seen[0] != next_offset or log_end <= next_offset:
                self._seen[tp] = (next_offset, now_s)
            elif now_s - seen[1] >= self._timeout_s:
                stalled.append(tp)
        return stalled

    def excuse(self, now_s: float) -> None:
        """Start all over: what was seen so far has an explanation, such as a broker away."""
        self._seen = {tp: (next_offset, now_s) for tp, (next_offset, _) in self._seen.items()}


class ProgressWatch:
    """Ends the process when it stalls, or when the group gives it no share at all.

    It looks from a thread of its own, so that it also sees an event loop that a handler blocks,
    and asks the broker itself for the logs' ends, so that it also sees a fetcher gone silent.
    While the broker does not answer, nothing counts as a stall.
    """

    def __init__(self, app: "SliceApp") -> None:
        """Watch an application.

        Args:
            app: What is watched, and stopped; must run in this process.
        """
        self._app = app
        timeout_s = app.engine.config.stall_timeout_s
        self._interval_s = timeout_s / LOOKS_PER_TIMEOUT
        config = app.engine.config
        self._longest_closed_s = config.rebalance_timeout_s + config.start_timeout_s + timeout_s
        self._last_open_s = 0.0
        self._detector = StallDetector(timeout_s=timeout_s)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._last_open_s = time.monotonic()
        threading.Thread(target=self._watch, name="progress-watch", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._interval_s):
            if not self._refresh():
                self._detector.excuse(time.monotonic())
                continue
            failure = self._find_stall(time.monotonic())
            if failure is not None and not self._stopped.is_set():
                self._app.control.fail(failure)
                return

    def _find_stall(self, now_s: float) -> StalledError | None:
        consumer = self._app.started_consumer
        if consumer is not None and not consumer.is_open:
            if now_s - self._last_open_s < self._longest_closed_s:
                return None
            return StalledError(
                f"No share of the partitions for {self._longest_closed_s:g} s. Does the group "
                f"never settle, or does the broker refuse us? Its log and ours say why."
            )
        self._last_open_s = now_s
        stalled = self._detector.observe(self._app.progress(), now_s=now_s)
        return self._stalled_error(stalled) if stalled else None

    def _refresh(self) -> bool:
        """Bring the logs' ends up to date; whether the broker answered."""
        consumer = self._app.started_consumer
        if consumer is None:
            return True
        try:
            consumer.refresh_log_ends(deadline_s=self._interval_s)
        except (KafkaError, FutureTimeoutError) as error:
            logger.warning("The broker does not say where the logs end: %r", error)
            return False
        return True

    def _stalled_error(self, stalled: list[TP]) -> StalledError:
        progress = self._app.progress()
        waiting = ", ".join(
            f"{tp.topic}-{tp.partition} at {progress[tp].next_offset} of {progress[tp].log_end}"
            for tp in sorted(stalled)
            if tp in progress
        )
        return StalledError(
            f"No slice finished for {self._app.engine.config.stall_timeout_s:g} s while events "
            f"wait ({waiting}). Is a handler blocked, or a service that it needs away?"
        )
