"""How does a worker's copy of the online models keep up with the learner's?

It begins with nothing learned at offset 0, as the learner does, takes the learner's base if there
is one, and then every delta that continues it. A delta that ends before the replica is skipped;
one that begins after it means that something is missing: then the base is loaded again. What is
damaged or of other features is refused and counted, and the replica in use stays.

Payloads are taken in by the event loop between two chunks, so no chunk sees half a delta.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from featurestore.store import BEFORE_ALL_DELTAS, Delta, Store, StoreUnavailable
from models.errors import SnapshotRefused
from models.online.online_models import OnlineModels
from models.online.tables import DeltaOutcome
from streams.metrics import WorkerMetrics
from streams.retrying import until_answered

T = TypeVar("T")

logger = logging.getLogger(__name__)

_BLOCK_MS: Final = 1000


class Replica:
    """Follows the learner's base and deltas into one `OnlineModels`."""

    def __init__(
        self, online: OnlineModels, store: Store, metrics: WorkerMetrics, *, max_pause_s: float
    ) -> None:
        self._online = online
        self._store = store
        self._metrics = metrics
        self._max_pause_s = max_pause_s
        self._after_id = BEFORE_ALL_DELTAS

    async def load(self) -> None:
        """Take the base, if there is one that is further on, and every delta that there is."""
        await self._load_base()
        while await self._follow_once(block_ms=0):
            pass

    async def follow(self) -> None:
        """Take what comes, until cancelled."""
        while True:
            await self._follow_once(block_ms=_BLOCK_MS)

    async def _follow_once(self, *, block_ms: int) -> bool:
        deltas = await self._ask(lambda: self._store.read_deltas(self._after_id, block_ms))
        for delta in deltas:
            await self._take(delta)
            self._after_id = delta.id
        return bool(deltas)

    async def _take(self, delta: Delta) -> None:
        outcome = self._apply(delta)
        if outcome is DeltaOutcome.GAP and await self._load_base():
            outcome = self._apply(delta)
        if outcome is not None:
            self._metrics.online.deltas.of(outcome.value).inc()
        self._metrics.online.replica_offset.set(self._online.offset)

    def _apply(self, delta: Delta) -> DeltaOutcome | None:
        try:
            return self._online.apply_delta(delta.payload)
        except SnapshotRefused as error:
            self._refused(f"delta {delta.id} of [{delta.from_offset}, {delta.to_offset})", error)
            return None

    async def _load_base(self) -> bool:
        """Load the base if it is further on than the replica; say whether it was."""
        base = await self._ask(self._store.load_base)
        if base is None or base.offset <= self._online.offset:
            return False
        try:
            self._online.restore(base.payload)
        except SnapshotRefused as error:
            self._refused(f"base {base.version} at {base.offset}", error)
            return False
        self._metrics.online.replica_offset.set(self._online.offset)
        return True

    def _refused(self, what: str, error: SnapshotRefused) -> None:
        self._metrics.models.refusals.of("online").inc()
        logger.error("Refused %s, the replica stays at %d: %s", what, self._online.offset, error)

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        def count() -> None:
            self._metrics.redis.errors.inc()
            self._metrics.processing.agent_errors.of("replica", "redis").inc()

        return await until_answered(
            call, transient=StoreUnavailable, max_pause_s=self._max_pause_s, on_fault=count
        )
