"""How is a Faust application built whose events are slices, with settings that are safe?"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import faust
from faust.types import TP, AppT
from faust.types.agents import AgentT
from faust.types.transports import TransportT
from faust.types.tuples import Message
from mode.supervisors import CrashingSupervisor
from mode.types import ServiceT
from typing_extensions import override

from streams.engine.config import EngineConfig
from streams.engine.consumer import SliceConsumer
from streams.engine.delivery import DeliveryCheck
from streams.engine.ledger import PartitionProgress
from streams.engine.producer import AckedProducer, OutgoingRecord
from streams.engine.stopping import StopControl
from streams.engine.transport import SliceTransport
from streams.engine.wiring import Engine, StartOffsets

STREAM_BUFFER_MAXSIZE: Final = 1_000_000
"""Out of reach: the consumer bounds what it delivers, partition by partition. Faust's own
back-pressure resumes partitions across a rebalance, before they have been positioned."""


class SliceSchema(faust.Schema[Any, Any]):
    """Hands the slice on as it is; there is nothing to decode in a message that carries one."""

    @override
    def loads_key(self, app: AppT, message: Message, **kwargs: Any) -> Any:
        """The key of a slice: None."""
        return message.key

    @override
    def loads_value(self, app: AppT, message: Message, **kwargs: Any) -> Any:
        """The slice."""
        return message.value


class SliceApp(faust.App):
    """A Faust application in which one event of any topic is one slice. See build_app."""

    def __init__(self, engine: Engine) -> None:
        """Configure Faust for the engine.

        Args:
            engine: Settings, callbacks and stop control.
        """
        config = engine.config
        self.engine = engine
        super().__init__(
            config.app_id,
            broker=[f"kafka://{broker}" for broker in config.brokers],
            Schema=SliceSchema,
            agent_supervisor=CrashingSupervisor,
            processing_guarantee="at_least_once",
            broker_commit_interval=config.commit_interval_s,
            broker_session_timeout=config.session_timeout_s,
            broker_heartbeat_interval=config.heartbeat_interval_s,
            broker_rebalance_timeout=config.rebalance_timeout_s,
            broker_request_timeout=config.request_timeout_s,
            broker_max_poll_records=config.max_slice_records,
            consumer_metadata_max_age_ms=round(config.metadata_max_age_s * 1000),
            consumer_max_fetch_size=config.max_partition_fetch_bytes,
            # Out of range is an error that we handle; "earliest" would repeat or skip silently.
            consumer_auto_offset_reset="none",
            stream_buffer_maxsize=STREAM_BUFFER_MAXSIZE,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            # Without tables and standbys, Faust leaves assignment to aiokafka's round robin.
            table_standby_replicas=0,
            store="memory://",
            web_enabled=False,
            autodiscover=False,
        )
        self.acked_producer = AckedProducer(brokers=config.brokers)
        self.sensors.add(DeliveryCheck())

    @property
    def control(self) -> StopControl:
        """Ends the process; see fail_stop."""
        return self.engine.control

    @property
    def started_consumer(self) -> SliceConsumer | None:
        """The consumer; None until Faust has made it."""
        consumer = self._consumer
        return consumer if isinstance(consumer, SliceConsumer) else None

    def progress(self) -> dict[TP, PartitionProgress]:
        """How far each assigned partition has come; for metrics. Safe from any thread."""
        consumer = self.started_consumer
        return {} if consumer is None else consumer.progress()

    async def drain(self) -> None:
        """Deliver no further slice, wait for the one in progress, and commit."""
        consumer = self.started_consumer
        if consumer is None:
            return
        consumer.stop_flow()
        self.flow_control.suspend()
        self.flow_control.clear()
        await consumer.until_idle()
        await consumer.commit()

    async def produce_acked(
        self, topic: str, records: Iterable[OutgoingRecord], *, deadline_s: float | None = None
    ) -> None:
        """Append records, and return when all in-sync replicas have them. See AckedProducer."""
        await self.acked_producer.produce_acked(topic, records, deadline_s=deadline_s)

    @override
    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """Start the producer before, and stop it after, everything that may use it."""
        return [self.acked_producer, *super().on_init_dependencies()]

    @override
    def _new_transport(self) -> TransportT:
        return SliceTransport(self.conf.broker_consumer, self, engine=self.engine)

    @override
    def _create_directories(self) -> None:
        """Faust's data directory is for tables, and we have none."""

    @override
    async def _on_agent_error(self, agent: AgentT[Any], exc: BaseException) -> None:
        if (consumer := self.started_consumer) is not None:
            await consumer.on_task_error(exc)


def build_app(
    config: EngineConfig,
    *,
    start_offsets: StartOffsets,
    on_lost: Callable[[TP, int], None],
) -> SliceApp:
    """Make an application, to which agents are then added as usual.

    Args:
        config: Group, brokers, sizes and time-outs.
        start_offsets: Names the offset at which each assigned partition goes on.
        on_lost: Told how many events of a partition retention has removed before we read them.

    Returns:
        The application, for run_app.
    """
    return SliceApp(Engine(config=config, start_offsets=start_offsets, on_lost=on_lost))
