"""How are slices taken from aiokafka, in its thread, so that none is of a wrong position?

A partition yields slices only between a seek of ours and the end of the assignment that the seek
was made in. aiokafka itself positions partitions whenever it likes (at the group's offset after
an assignment); records from there are never taken, because nothing is taken before our seek.
"""

# ruff: noqa: SLF001  (aiokafka offers no public way to take one partition's records in one go)

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Transport, ensure_aiokafka_TP
from faust.types import TP
from typing_extensions import override

from streams.engine.errors import FatalEngineError
from streams.engine.slices import Record, Slice

NO_ASSIGNMENT_PAUSE_S = 0.02
"""Between two looks at a group that is rebalancing; a fetch would block the thread's queue."""


class FetchedSlice(NamedTuple):
    """A slice and the positioning of its partition that it was fetched under."""

    slice_: Slice
    epoch: int


class ReadPosition(NamedTuple):
    """How far a partition has been read, and the positioning that it was read under."""

    offset: int
    epoch: int


class Fetched(NamedTuple):
    """What one fetch brought."""

    slices: list[FetchedSlice]
    out_of_range: dict[TP, ReadPosition]
    """Partitions whose log does not have the position; they yield nothing more from there."""
    read_to: dict[TP, ReadPosition]
    """Partitions that yielded no slice; the position may have passed offsets without a record."""
    log_ends: dict[TP, int]
    """The logs' ends as the last answers of the broker gave them."""


class LogRange(NamedTuple):
    """The offsets that a partition's log has: [start, end)."""

    start: int
    end: int


@dataclass(slots=True)
class _Position:
    """Where a partition stands since our last seek; valid in that one assignment only."""

    assignment: Any
    epoch: int
    next_offset: int


class SliceConsumerThread(AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, taking slices instead of records."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401  (Faust's)
        fetch_wait_ms: int,
        max_slice_records: int,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Take what Faust passes, and our two settings.

        Args:
            *args: The consumer; see Faust.
            fetch_wait_ms: Longest time that the broker holds a fetch while nothing arrives.
            max_slice_records: Most records in one slice.
            **kwargs: Passed on to Faust.
        """
        self._fetch_wait_ms = fetch_wait_ms
        self._max_slice_records = max_slice_records
        self._positions: dict[TP, _Position] = {}
        self._last_epoch = 0
        super().__init__(*args, **kwargs)
        # mode closes only loops that it made itself; ours is made for this thread alone.
        self._close_thread_loop_on_stop = True

    @override
    def _stopped_set(self) -> None:
        # After a crash the thread has ended already, and its loop with it.
        if not self.thread_loop.is_closed():
            super()._stopped_set()

    @override
    def _create_worker_consumer(self, transport: Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust writes 1500 ms into the call. A partition that back-pressure kept out of the last
        # fetch would wait that long for its next one whenever the other partitions are idle.
        consumer._fetch_max_wait_ms = self._fetch_wait_ms
        # An application that produces in transactions does not mean the ones it aborts.
        consumer._isolation_level = "read_committed"
        return consumer

    # --- called from the main thread ---

    async def fetch_slices(self, tps: Iterable[TP], *, timeout_s: float) -> Fetched:
        """At most one slice of each of these partitions, waiting for the first to come."""
        fetched: Fetched = await self.call_thread(self._fetch_slices, sorted(tps), timeout_s)
        return fetched

    async def seek_slices(self, offsets: Mapping[TP, int]) -> dict[TP, int]:
        """Position partitions, all or none, and open them for fetching.

        Returns:
            The epoch of each positioning; slices fetched since carry it.

        Raises:
            IllegalStateError: A partition is not ours any more.
        """
        epochs: dict[TP, int] = await self.call_thread(self._seek_slices, offsets)
        return epochs

    async def log_ranges(self, tps: Iterable[TP]) -> dict[TP, LogRange]:
        """Ask the broker which offsets these logs have.

        Raises:
            KafkaError: The broker did not answer within the request time-out.
        """
        ranges: dict[TP, LogRange] = await self.call_thread(self._log_ranges, list(tps))
        return ranges

    def log_ranges_from_outside(
        self, tps: Iterable[TP], *, deadline_s: float
    ) -> dict[TP, LogRange]:
        """The same for a caller without an event loop; blocks until the deadline at most."""
        asked = asyncio.run_coroutine_threadsafe(self._log_ranges(list(tps)), self.thread_loop)
        try:
            return asked.result(deadline_s)
        finally:
            asked.cancel()

    # --- running in the thread ---

    async def _fetch_slices(self, tps: list[TP], timeout_s: float) -> Fetched:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        # While records of one partition wait to be taken, aiokafka would fetch no other one of the
        # same broker for a tenth of a second. What waits here is bounded without that.
        fetcher._prefetch_backoff = 0.0
        # A fetch that ends in the moment in which records are taken is not heard of: aiokafka looks
        # again only after this time, 0.2 s unless told otherwise.
        fetcher._fetcher_timeout = self._fetch_wait_ms / 1000
        fetched = Fetched([], {}, {}, {})
        subscriptions = fetcher._subscriptions
        if not self.consumer.flow_active:
            return fetched
        if subscriptions.reassignment_in_progress:
            await asyncio.sleep(NO_ASSIGNMENT_PAUSE_S)
            return fetched
        if not (ready := [tp for tp in tps if self._current_position(tp) is not None]):
            await asyncio.sleep(NO_ASSIGNMENT_PAUSE_S)
            return fetched
        with subscriptions.fetch_context():
            for tp in ready:
                await self._take([tp], 0, fetched)
            if not fetched.slices and not fetched.out_of_range:
                await self._take(ready, timeout_s, fetched)
        self._note_states(ready, fetched)
        return fetched

    async def _take(self, tps: list[TP], timeout_s: float, fetched: Fetched) -> None:
        fetcher = self._ensure_consumer()._fetcher
        try:
            drained = await fetcher.fetched_records(
                tps, timeout=timeout_s, max_records=self._max_slice_records
            )
        except NoOffsetForPartitionError:
            # A fetch may wait from one assignment into the next, which is not positioned yet.
            return
        except OffsetOutOfRangeError as error:
            for tp in cast("dict[TP, int]", error.args[0]):
                self._note_out_of_range(TP(*tp), fetched)
            return
        # Between aiokafka's taking the records and this point nothing else runs in this loop, so
        # the position that we hold is the one that they were taken under.
        for tp, records in drained.items():
            fetched_slice = self._to_slice(TP(*tp), records)
            if fetched_slice is not None:
                fetched.slices.append(fetched_slice)

    def _note_out_of_range(self, tp: TP, fetched: Fetched) -> None:
        # In the next assignment this may be the group's offset, which is none of our business.
        position = self._current_position(tp)
        if position is not None:
            fetched.out_of_range[tp] = ReadPosition(position.next_offset, position.epoch)

    def _to_slice(self, tp: TP, records: list[Any]) -> FetchedSlice | None:
        position = self._current_position(tp)
        if position is None:
            return None
        base_offset = position.next_offset
        if records[0].offset < base_offset:
            raise FatalEngineError(
                f"{tp.topic}-{tp.partition} delivered offset {records[0].offset} at position "
                f"{base_offset}; expected nothing before it. aiokafka moved the position."
            )
        position.next_offset = position.assignment.state_value(tp).position
        slice_ = Slice(
            topic=tp.topic,
            partition=tp.partition,
            base_offset=base_offset,
            next_offset=position.next_offset,
            records=tuple(
                [Record(r.offset, r.key, r.value, r.timestamp, r.headers) for r in records]
            ),
        )
        return FetchedSlice(slice_, position.epoch)

    def _note_states(self, tps: list[TP], fetched: Fetched) -> None:
        with_slice = {item.slice_.tp for item in fetched.slices}
        for tp in tps:
            position = self._current_position(tp)
            if position is None:
                continue
            state = position.assignment.state_value(tp)
            if tp not in with_slice and state.has_valid_position:
                fetched.read_to[tp] = ReadPosition(state.position, position.epoch)
            # Behind the last stable offset lie transactions that are not over.
            if state.lso is not None:
                fetched.log_ends[tp] = state.lso

    def _current_position(self, tp: TP) -> _Position | None:
        position = self._positions.get(tp)
        if position is None or position.assignment is not self._assignment():
            return None
        return position

    def _assignment(self) -> Any:  # noqa: ANN401  (aiokafka is untyped)
        subscription = self._ensure_consumer()._subscription.subscription
        return None if subscription is None else subscription.assignment

    async def _seek_slices(self, offsets: Mapping[TP, int]) -> dict[TP, int]:
        # Without an await: whole, or not at all, as far as the rest of this loop can see.
        assignment = self._assignment()
        if assignment is None or not assignment.tps.issuperset(offsets):
            raise IllegalStateError(f"no longer assigned all of {sorted(offsets)}")
        consumer = self._ensure_consumer()
        epochs = {}
        for tp, offset in offsets.items():
            consumer.seek(ensure_aiokafka_TP(tp), offset)
            self._last_epoch += 1
            self._positions[tp] = _Position(assignment, self._last_epoch, offset)
            epochs[tp] = self._last_epoch
        return epochs

    async def _log_ranges(self, tps: list[TP]) -> dict[TP, LogRange]:
        consumer = self._ensure_consumer()
        partitions = [ensure_aiokafka_TP(tp) for tp in tps]
        starts, ends = await asyncio.gather(
            consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        )
        return {tp: LogRange(starts[tp], ends[tp]) for tp in tps}

    @override
    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # Faust crashes the process on most errors here. The group's offset decides nothing, so
        # a refused commit (an expired membership, a partition just lost) is only worth a line.
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        committable = {
            ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            await consumer.commit(committable)
        except (KafkaError, IllegalStateError) as error:
            self.log.warning("Group offsets not committed: %r", error)
            return False
        return True
