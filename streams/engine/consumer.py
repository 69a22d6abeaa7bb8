"""When is a slice delivered, when is it finished, and when must it not be either?"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, cast

from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as FaustConsumer
from faust.types import TP
from faust.types.tuples import Message
from mode.utils.futures import notify
from typing_extensions import override

from streams.engine.errors import FatalEngineError, HandlerError, StartPositionError
from streams.engine.fetching import Fetched, FetchedSlice, SliceConsumerThread
from streams.engine.ledger import Ledger, PartitionProgress
from streams.engine.positions import require_offset_for_each, resolve_position
from streams.engine.slices import SliceMessage
from streams.engine.wiring import Engine


class _NoReadOffsets(dict[TP, int | None]):
    """Makes Faust's fetcher keep every message; it would drop those below what it read last.

    It sets that offset after a delivery, which may be after the partition was positioned anew.
    Epochs do this work here, and without that race.
    """

    @override
    def __getitem__(self, tp: TP) -> None:
        return None


class SliceConsumer(FaustConsumer):
    """Faust's consumer, whose messages are slices and whose positions come from the checkpoint.

    Guarantees to a handler: slices of a partition come in order, join without a gap, and start
    exactly at the offset that `start_offsets` named after the assignment. `start_offsets` never
    runs while a handler does. Once a partition has been positioned anew, no slice of its former
    position is delivered.
    """

    _thread: SliceConsumerThread

    def __init__(self, *args: Any, engine: Engine, **kwargs: Any) -> None:  # noqa: ANN401
        """Take what Faust passes, and the engine's settings and callbacks."""
        self._engine = engine
        #: Deliveries happen only between resume_flow and the next stop, seek or assignment.
        #: Faust clears every queue while it resumes, so a slice delivered earlier would be lost.
        self._is_open = False
        self._epochs: dict[TP, int] = {}
        self._ledger = Ledger()
        #: Fetched when delivery was closed; delivered later if their positioning still holds.
        self._held: list[FetchedSlice] = []
        self._out_of_range: dict[TP, int] = {}
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffsets()

    @override
    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        config = self._engine.config
        return SliceConsumerThread(
            self,
            loop=self.loop,
            beacon=self.beacon,
            thread_loop=self._engine.new_loop(),
            fetch_wait_ms=config.fetch_wait_ms,
            max_slice_records=config.max_slice_records,
        )

    # --- what the rest of the process asks ---

    @property
    def is_open(self) -> bool:
        """Whether the group has given us our share, be it none, and it has been positioned."""
        return self._is_open

    def progress(self) -> dict[TP, PartitionProgress]:
        """How far each assigned partition has come. Safe from any thread."""
        return self._ledger.progress()

    def refresh_log_ends(self, *, deadline_s: float) -> None:
        """Ask the broker for the logs' ends, so that progress sees a fetcher gone silent.

        Blocks; call it from a thread that has no event loop.

        Raises:
            KafkaError: The broker refused.
            concurrent.futures.TimeoutError: It did not answer in time.
        """
        if tps := self._ledger.partitions:
            ranges = self._thread.log_ranges_from_outside(tps, deadline_s=deadline_s)
            for tp, log_range in ranges.items():
                self._ledger.note_log_end(tp, log_range.end)

    def is_idle(self) -> bool:
        """Whether no handler is at work on a slice."""
        return all(message.acked for message in self._unacked_messages)

    async def until_idle(self) -> None:
        """Wait until no handler is at work on a slice."""
        while not self.is_idle():
            await self._next_ack(1.0)

    # --- delivery ---

    @override
    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Fetch and yield slices; called in a loop by Faust's fetcher."""
        if not self.flow_active:
            await self.wait(cast("Any", self.can_resume_flow))
        if self.should_stop:
            return
        for item in await self._next_slices(timeout):
            if not (self._is_open and self.flow_active):
                self._held.append(item)
            elif item.epoch == self._epochs.get(item.slice_.tp):
                yield item.slice_.tp, self._to_slice_message(item)

    async def _next_slices(self, timeout_s: float) -> list[FetchedSlice]:
        if self._held and self._is_open:
            held, self._held = self._held, []
            return held
        if self._out_of_range:
            await self._leave_lost_ranges()
        if not (tps := self._fetchable()):
            await self._next_ack(timeout_s)
            return []
        fetched: Fetched = await self._thread.fetch_slices(tps, timeout_s=timeout_s)
        self._note(fetched)
        return fetched.slices

    def _note(self, fetched: Fetched) -> None:
        for tp, (offset, epoch) in fetched.out_of_range.items():
            if epoch == self._epochs.get(tp):
                self._out_of_range[tp] = offset
        for tp, (offset, epoch) in fetched.read_to.items():
            if epoch == self._epochs.get(tp):
                self._ledger.pass_hole(tp, offset)
        for tp, log_end in fetched.log_ends.items():
            self._ledger.note_log_end(tp, log_end)
            self.app.monitor.track_tp_end_offset(tp, log_end)

    def _fetchable(self) -> list[TP]:
        if not self._is_open:
            return []
        limit = self._engine.config.max_buffered_slices
        return [
            tp
            for tp in self._epochs
            if tp in self._active_partitions
            and tp not in self._out_of_range
            and self._ledger.num_unfinished(tp) < limit
        ]

    def _to_slice_message(self, item: FetchedSlice) -> SliceMessage:
        message = SliceMessage(
            item.slice_,
            generation=self.app.consumer_generation_id,
            epoch=item.epoch,
            epochs=self._epochs,
        )
        self._ledger.deliver(message)
        return message

    async def _next_ack(self, timeout_s: float) -> None:
        """Wait for a finished slice, or for resumed flow, or for the time to pass."""
        waiter = self._waiting_for_ack
        if waiter is None or waiter.done():
            waiter = self._waiting_for_ack = self.loop.create_future()
        await asyncio.wait({waiter}, timeout=timeout_s)

    # --- positions ---

    @override
    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Position every assigned partition where the checkpoint says; Faust's recovery calls it.

        Raises:
            IllegalStateError: The assignment changed; the next one will be positioned.
            StartPositionError: No position could be established; the process ends.
        """
        self._close()
        failure: FatalEngineError
        timeout_s = self._engine.config.start_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._position_all()
        except IllegalStateError:
            raise
        except FatalEngineError as error:
            failure = error
        except TimeoutError:
            failure = StartPositionError(
                f"Start offsets were not established within {timeout_s:g} s; expected the "
                f"checkpoints and the broker's log ranges by then. Are both reachable? Is a "
                f"handler still busy with a slice of the former assignment?"
            )
        except Exception as error:  # noqa: BLE001  (whatever the callback raises ends the process)
            failure = StartPositionError(
                f"Start offsets were not established: {type(error).__name__}: {error}"
            )
            failure.__cause__ = error
        self._engine.control.fail(failure)
        raise failure

    async def _position_all(self) -> Mapping[TP, int]:
        await self.until_idle()
        tps = frozenset(self.assignment())
        wanted = await self._engine.start_offsets(tps)
        require_offset_for_each(tps, wanted)
        return await self._start_at({tp: wanted[tp] for tp in tps})

    async def _start_at(self, wanted: Mapping[TP, int]) -> Mapping[TP, int]:
        ranges = await self._thread.log_ranges(wanted)
        positions = {
            tp: resolve_position(
                tp, wanted=offset, log_start=ranges[tp].start, log_end=ranges[tp].end
            )
            for tp, offset in wanted.items()
        }
        offsets = {tp: position.offset for tp, position in positions.items()}
        epochs = await self._thread.seek_slices(offsets)
        for tp in wanted:
            self._forget_deliveries(tp)
        self._epochs.update(epochs)
        for tp, position in positions.items():
            self._ledger.start(tp, position.offset)
            self._ledger.note_log_end(tp, ranges[tp].end)
            if position.num_lost:
                self._engine.on_lost(tp, position.num_lost)
        return offsets

    async def _leave_lost_ranges(self) -> None:
        """Retention overtook us, or the topic was created again: go on, or end the process."""
        # What was delivered before is still good; positioning anew would make it stale.
        ready = {
            tp: at for tp, at in self._out_of_range.items() if not self._ledger.num_unfinished(tp)
        }
        if not ready:
            return
        try:
            await self._start_at(ready)
        except IllegalStateError:
            return
        except KafkaError as error:
            self.log.warning("Log ranges not known yet: %r", error)
        except StartPositionError as error:
            self._engine.control.fail(error)
            raise

    @override
    async def _seek(self, partition: TP, offset: int) -> None:
        raise FatalEngineError(
            f"Seek of {partition} to {offset}: positions come from start_offsets alone."
        )

    @override
    def resume_flow(self) -> None:
        """Open for delivery; Faust calls it right after it has cleared its queues."""
        super().resume_flow()
        # A rebalance may end while we drain.
        self._is_open = not self._engine.control.is_stopping
        notify(self._waiting_for_ack)

    @override
    def stop_flow(self) -> None:
        """Deliver nothing until flow is resumed."""
        super().stop_flow()
        self._close()

    def _close(self) -> None:
        self._is_open = False

    def _forget_deliveries(self, tp: TP) -> None:
        self._epochs.pop(tp, None)
        self._out_of_range.pop(tp, None)
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)

    def _forget(self, tps: Collection[TP]) -> None:
        for tp in tps:
            self._forget_deliveries(tp)
        self._ledger.forget(tps)

    # --- rebalance ---

    @override
    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop delivery, and let the slice in progress finish while the group waits for us."""
        await super().on_partitions_revoked(revoked)
        try:
            async with asyncio.timeout(self._engine.config.revoke_grace_s):
                await self.until_idle()
        except TimeoutError:
            self.log.warning("A slice outlasts the revocation; its write must be fenced.")
        self._forget(revoked)

    @override
    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Close everything until the new assignment has been positioned."""
        self._close()
        self._forget(self._ledger.partitions)
        await super().on_partitions_assigned(assigned, generation_id)

    # --- commits: for lag monitors only ---

    @override
    def _new_offset(self, tp: TP) -> int | None:
        if not self._engine.control.may_commit or tp not in self._epochs:
            return None
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)
        return self._ledger.next_offset(tp)

    @override
    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Slices join, so there are no gaps to account for."""

    @override
    async def on_task_error(self, exc: BaseException) -> None:
        """End the process: Faust would commit and drop what the agent was working on."""
        if isinstance(exc, FatalEngineError):
            self._engine.control.fail(exc)
            return
        failure = HandlerError(f"{type(exc).__name__} escaped a slice handler: {exc}")
        failure.__cause__ = exc
        self._engine.control.fail(failure)

    @override
    def verify_event_path(self, now: float, tp: TP) -> None:
        """ProgressWatch replaces Faust's livelock detector, which only logs."""
