"""How do events get from Kafka to a handler: in slices, from the checkpoint, exactly in order?

Faust keeps the group, rebalancing, commits and life cycle; one Faust event is one `Slice`: up to
1,000 consecutive records of one partition. A worker looks like this:

    async def start_offsets(tps: frozenset[TP]) -> dict[TP, int]:
        # After every assignment, with everything that we own from now on; never while a slice is
        # being handled. Drop what was cached for other partitions, load what these need. It must
        # end within start_timeout_s, and may be cancelled and called anew.
        return {tp: await checkpoint_of(tp) or LOG_START for tp in tps}

    config = EngineConfig(app_id="worker", brokers=("localhost:9092",))
    app = build_app(config, start_offsets=start_offsets, on_lost=count_lost_events)

    @app.agent(app.topic("events"))
    async def work(slices: faust.StreamT[Slice]) -> None:
        async for slice_ in slices:
            records = slice_.records            # Record: offset, key, value, append_ms, headers
            ...                                 # decode, fold, rank
            await app.produce_acked("examples", [OutgoingRecord(value=...)])
            await store.commit(...)             # checkpoint := slice_.next_offset, atomically

    sys.exit(run_app(app))

What a handler may rely on:

- Slices of a partition come in order and join: `base_offset` is the predecessor's `next_offset`.
  The first one after an assignment begins exactly at the offset from `start_offsets`. The group's
  committed offset is written for lag monitors and never read.
- Records of aborted transactions are left out, and those of open ones wait.
- One slice at a time in the whole process, whatever its partition. Never use `concurrency` or
  `take()`.
- An exception that leaves the handler ends the process with a non-zero code; the slice is
  delivered again after the restart. So raise on a fault of ours; retry a service that is away,
  inside; send an event that cannot be decoded to the dead letters. `FatalEngineError` subclasses
  choose their exit code.
- When partitions are taken away while a handler works, the group waits `revoke_grace_s` for it.
  A longer one goes on beside the next owner: its write must be refused by the checkpoint's
  compare-and-set.
- A slice may be delivered again after any crash. What the handler does must be idempotent up to
  its checkpoint, which is what makes the whole effectively once.

Beside that: `app.progress()` gives next offset, log end and lag of each partition, for metrics;
`app.control.fail(error)` and `fail_stop(app, "what it did")` end the process from elsewhere;
`app.control.is_failed` is the unhealthy flag; `app.task` and the signals
`app.on_partitions_revoked` and `app.on_before_shutdown` work as in Faust; `TopicReader` and
`read_to_end` read whole topics without a group; `AckedProducer` also works alone (`start()`,
`stop()`).

`run_app` handles SIGTERM and SIGINT, watches progress (`stall_timeout_s`) and configures no
logging. Exit codes are in `streams.engine.errors`. What is private in Faust, mode and aiokafka and
touched here is listed in `streams.engine.hooks`.
"""

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.engine.app import SliceApp, build_app
from streams.engine.config import EngineConfig
from streams.engine.errors import (
    EngineConfigError,
    EngineError,
    FatalEngineError,
    HandlerError,
    ProduceDeadlineError,
    ProduceError,
    StalledError,
    StartPositionError,
    UnreadableTopicError,
)
from streams.engine.ledger import PartitionProgress
from streams.engine.positions import LOG_START
from streams.engine.producer import AckedProducer, OutgoingRecord
from streams.engine.readers import TopicReader, read_to_end
from streams.engine.runner import run_app
from streams.engine.slices import Record, Slice, joined
from streams.engine.stopping import StopControl, fail_stop

__all__ = [
    "LOG_START",
    "TP",
    "AckedProducer",
    "EngineConfig",
    "EngineConfigError",
    "EngineError",
    "FatalEngineError",
    "HandlerError",
    "KafkaError",
    "OutgoingRecord",
    "PartitionProgress",
    "ProduceDeadlineError",
    "ProduceError",
    "Record",
    "Slice",
    "SliceApp",
    "StalledError",
    "StartPositionError",
    "StopControl",
    "TopicReader",
    "UnreadableTopicError",
    "build_app",
    "fail_stop",
    "joined",
    "read_to_end",
    "run_app",
]
