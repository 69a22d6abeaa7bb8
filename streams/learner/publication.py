"""How does what was learned reach the workers, and outlive this process?

Each second the changed cells go to the workers as a delta; each minute everything is saved as the
base from which a restart goes on. Both are compare-and-set on the base's version, which every
learner raises when it takes over: one that was paused meanwhile finds another version, and ends.
While the store is away its calls are repeated; learning may go on, nothing is skipped.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from featurestore.lists import RecommendationList, encode_list
from featurestore.store import Base, Store, StoreUnavailable
from models.errors import SnapshotRefused
from models.online.online_models import OnlineModels
from streams.errors import RestartNeeded, StartRefused
from streams.learner.accounts import LearnerAccounts
from streams.learner.fold import LearnerFold
from streams.learner.refill import LayoutMismatch, LearnerMeta
from streams.retrying import until_answered

T = TypeVar("T")

_REMEDY = (
    "empty the learner's keys (redis-cli DEL learner:base learner:deltas) and start it again: it "
    "then learns anew from what the examples topic has"
)


class BaseMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the tables in a base: who wrote it, and the state of the fold."""

    writer: str
    learner: LearnerMeta


class Publication:
    """The learner's side of the store."""

    def __init__(
        self,
        store: Store,
        online: OnlineModels,
        fold: LearnerFold,
        accounts: LearnerAccounts,
        *,
        max_pause_s: float,
    ) -> None:
        self._store = store
        self._online = online
        self._fold = fold
        self._accounts = accounts
        self._max_pause_s = max_pause_s
        self._writer = uuid.uuid4().hex
        self._version = 0
        self._unpublished_ms: list[int] = []

    async def take_over(self) -> None:
        """Load the base, if there is one, and raise its version, so that no other may write.

        Raises:
            StartRefused: The base cannot be gone on from; the message names the remedy.
            RestartNeeded: Another learner is taking over at this moment.
        """
        base = await self._ask("base", self._store.load_base)
        if base is None:
            await self._save(expected_version=0, offset=0, payload=self._online.snapshot())
            return
        self._restore(base)
        # The fold stands at the start of the refill now: what it will say of its state at the
        # base's offset is what the base says.
        await self._save(expected_version=base.version, offset=base.offset, payload=base.payload)

    async def is_ours(self) -> bool:
        """Whether nobody has taken over since we did."""
        base = await self._ask("base", self._store.load_base)
        return base is not None and base.version == self._version

    def learned(self, append_ms: int) -> None:
        """A record that was appended at this time awaits publication."""
        self._unpublished_ms.append(append_ms)

    async def publish_delta(self) -> None:
        """Bring the workers up to date, if anything was learned.

        Raises:
            RestartNeeded: Another learner has taken over, or the store was flushed.
        """
        delta = self._online.take_delta()
        waiting, self._unpublished_ms = self._unpublished_ms, []
        if delta.to_offset > delta.from_offset:
            appended = await self._ask(
                "delta",
                lambda: self._store.append_delta(
                    expected_version=self._version,
                    from_offset=delta.from_offset,
                    to_offset=delta.to_offset,
                    payload=delta.payload,
                ),
            )
            if not appended:
                raise self._overtaken()
        self._online.delta_acknowledged()
        self._accounts.published(waiting, now_s=time.time())

    async def save_base(self) -> None:
        """Save everything, as the point from which a restart goes on.

        Raises:
            RestartNeeded: Another learner has taken over, or the store was flushed.
        """
        if self._fold.is_refilling:
            return
        await self._save(
            expected_version=self._version,
            offset=self._online.offset,
            payload=self._online.snapshot(),
        )

    async def put_shared(self, lists: Mapping[bytes, RecommendationList], *, ttl_ms: int) -> None:
        """Replace lists that are nobody's own, by their keys."""
        values = {key: encode_list(made) for key, made in lists.items()}
        await self._ask("shared", lambda: self._store.put_shared(values, ttl_ms=ttl_ms))

    def _restore(self, base: Base) -> None:
        try:
            meta = msgspec.json.decode(base.meta, type=BaseMeta)
            self._fold.restore(meta.learner)
            self._online.restore(base.payload)
        except (msgspec.DecodeError, SnapshotRefused, LayoutMismatch, ValueError) as error:
            raise StartRefused(
                f"the learner's base (version {base.version}, offset {base.offset}) cannot be gone "
                f"on from: {error}. Restore what fits it, or {_REMEDY}"
            ) from error

    async def _save(self, *, expected_version: int, offset: int, payload: bytes) -> None:
        meta = msgspec.json.encode(BaseMeta(writer=self._writer, learner=self._fold.meta()))

        async def save() -> bool:
            saved = await self._store.save_base(
                expected_version=expected_version, offset=offset, payload=payload, meta=meta
            )
            return saved or await self._is_saved(expected_version + 1)

        if not await self._ask("base", save):
            raise self._overtaken()
        self._version = expected_version + 1

    async def _is_saved(self, version: int) -> bool:
        """Whether an attempt of ours, whose answer was lost, has written the base."""
        base = await self._store.load_base()
        return base is not None and base.version == version and self._writer == _writer_of(base)

    def _overtaken(self) -> RestartNeeded:
        return RestartNeeded(
            f"the learner's base is no longer version {self._version}: another learner has taken "
            "over, or the store was flushed or restored; starting again from what it holds"
        )

    async def _ask(self, command: str, call: Callable[[], Awaitable[T]]) -> T:
        return await until_answered(
            call,
            transient=StoreUnavailable,
            max_pause_s=self._max_pause_s,
            on_fault=self._accounts.store_failed,
            durations=self._accounts.metrics.redis.command_duration.of(command),
        )


def _writer_of(base: Base) -> str:
    try:
        return msgspec.json.decode(base.meta, type=BaseMeta).writer
    except msgspec.DecodeError:
        return ""
