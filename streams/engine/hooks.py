"""Which private parts of Faust, mode and aiokafka does the engine rely on, and what for?

Each was read in the versions below. The contract test compares the installed versions and the
source of every part with this table: an upgrade fails there first, and whoever makes it reads the
changed part before writing its new digest down.
"""

from typing import Final, NamedTuple

VERSIONS: Final = {
    "faust-streaming": "0.15.3",
    "aiokafka": "0.14.0",
    "mode-streaming": "0.7.1",
}


class Hook(NamedTuple):
    """One private part: an attribute of a class, or a method with the digest of its source."""

    owner: str
    """Module and class, `package.module:Class`."""
    name: str
    use: str
    """What we do with it, and what must stay true."""
    digest: str | None = None
    """First 16 hex digits of the SHA-256 of the method's source; None for an attribute."""


_CONSUMER = "faust.transport.consumer:Consumer"
_DELEGATE = "faust.transport.consumer:ThreadDelegateConsumer"
_DRIVER = "faust.transport.drivers.aiokafka:Consumer"
_THREAD = "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread"
_RECOVERY = "faust.tables.recovery:Recovery"
_APP = "faust.app.base:App"
_FETCHER = "aiokafka.consumer.fetcher:Fetcher"
_STATE = "aiokafka.consumer.subscription_state"

HOOKS: Final = (
    # --- overridden ---
    Hook(
        _CONSUMER,
        "getmany",
        "replaced: yields slices; must only be called by _drain_messages",
        "4b168d84882a70d6",
    ),
    Hook(
        _DELEGATE,
        "seek_to_committed",
        "replaced: positions from start_offsets, 0 included",
        "f1d483b861b0328b",
    ),
    Hook(
        _DELEGATE, "_seek", "refused: it touches aiokafka from the wrong thread", "4f95c631420410a5"
    ),
    Hook(_DRIVER, "_new_consumer_thread", "replaced: makes our thread", "0870ec53dea75083"),
    Hook(_CONSUMER, "resume_flow", "extended: opens delivery", "db59630f25b5819b"),
    Hook(_CONSUMER, "stop_flow", "extended: closes delivery", "cf7e875a2b0d40e8"),
    Hook(
        _CONSUMER,
        "on_partitions_revoked",
        "extended: waits for the slice in progress",
        "d04b7ae72c6fc206",
    ),
    Hook(
        _CONSUMER, "on_partitions_assigned", "extended: closes until positioned", "29ce96596f05a18c"
    ),
    Hook(
        _CONSUMER,
        "_new_offset",
        "replaced: end of the finished slices, in delivery order",
        "1d2c7ea89a7ad4f1",
    ),
    Hook(_CONSUMER, "_add_gap", "replaced by nothing: slices join", "4df2573ded7c1c2c"),
    Hook(
        _CONSUMER,
        "on_task_error",
        "replaced: it would commit, and drop the failed slice",
        "0d7f23d0bb2607c1",
    ),
    Hook(
        _DRIVER,
        "verify_event_path",
        "replaced by nothing: ProgressWatch does it",
        "a17e8f0610e1abcb",
    ),
    Hook(
        _THREAD,
        "_create_worker_consumer",
        "extended: sets the longest wait of a fetch",
        "c2701bfc3e6f6cad",
    ),
    Hook(
        _THREAD,
        "_commit",
        "replaced: a refused commit must not crash the process",
        "932852ce7a23f658",
    ),
    Hook(
        "mode.threads:ServiceThread",
        "_stopped_set",
        "extended: tolerates a closed loop",
        "af9b1ff7781223c2",
    ),
    Hook(_APP, "_new_transport", "replaced: makes our transport", "42db531312dd776f"),
    Hook(
        _APP,
        "_create_directories",
        "replaced by nothing: no tables, no data directory",
        "a9f571c3b04abec3",
    ),
    Hook(
        _APP,
        "_on_agent_error",
        "replaced: it would commit; app.agent passes it on_error",
        "bdd12f286de64429",
    ),
    # --- whose body our guarantees depend on ---
    Hook(
        _CONSUMER,
        "_drain_messages",
        "calls getmany, delivers, filters by _read_offset",
        "44a2500309e83c63",
    ),
    Hook(
        _CONSUMER,
        "perform_seek",
        "takes read and committed offsets from seek_to_committed",
        "0e8c130ff4b0afd8",
    ),
    Hook(
        _CONSUMER,
        "force_commit",
        "asks _new_offset for every partition in _acked",
        "cc094614d22c70fb",
    ),
    Hook(_CONSUMER, "on_stop", "commits", "45b1d2210ce2b526"),
    Hook(
        _RECOVERY,
        "_resume_streams",
        "positions, then clears the queues, then resumes flow",
        "d986a6710c1aca98",
    ),
    Hook(
        _RECOVERY,
        "_restart_recovery",
        "runs _resume_streams once for each assignment",
        "6bd8a8558a2dffe4",
    ),
    Hook(
        _RECOVERY,
        "_wait",
        "gives up without an error at broker_request_timeout",
        "ec7429b70176f8c6",
    ),
    Hook(_APP, "_on_partitions_revoked", "stops flow and clears the queues", "d5c895bbe57dc73a"),
    Hook(
        _APP,
        "_on_partitions_assigned",
        "pauses the partitions and signals recovery",
        "de932b7927db85b3",
    ),
    Hook(
        "faust.agents.agent:Agent",
        "_execute_actor",
        "calls on_error before it drops the actor",
        "c750b828d2bda93e",
    ),
    Hook("mode.utils.queues:FlowControlEvent", "resume", "clears every queue", "4dcdc1253fd0dcb4"),
    Hook(
        "mode.threads:QueueServiceThread",
        "call_thread",
        "runs a coroutine in the thread",
        "479edda75b54734b",
    ),
    Hook(
        _FETCHER,
        "fetched_records",
        "does not await between taking records and returning them",
        "be4348896b9b66af",
    ),
    Hook(
        _FETCHER,
        "_fetch_requests_routine",
        "looks again after _fetcher_timeout; a task that is done may still count as in flight",
        "2a8ec5932644c9b0",
    ),
    Hook(_FETCHER, "seek_to", "drops what was fetched of the old position", "f0ba6aba6c22ef83"),
    Hook(
        _FETCHER,
        "_proc_fetch_request",
        "drops an answer that is not for the position",
        "59bf948fff47eed5",
    ),
    Hook(
        _FETCHER,
        "_update_fetch_positions",
        "never moves a position that is valid",
        "d7774d8241dc6a7e",
    ),
    Hook(
        "aiokafka.consumer.fetcher:FetchResult",
        "getall",
        "moves the position past the records",
        "3e717e30de5068d5",
    ),
    Hook(
        f"{_STATE}:Subscription",
        "_assign",
        "makes a new Assignment for each generation",
        "bf731e02b121db9f",
    ),
    # --- attributes ---
    Hook(_CONSUMER, "_acked", "emptied when offsets are taken for a commit"),
    Hook(_CONSUMER, "_acked_index", "emptied with it"),
    Hook(_CONSUMER, "_active_partitions", "read: those not paused"),
    Hook(_CONSUMER, "_read_offset", "replaced by a mapping that filters nothing"),
    Hook(_CONSUMER, "_unacked_messages", "read: messages that a handler is at work on"),
    Hook(_CONSUMER, "_waiting_for_ack", "set: a future that every ack resolves"),
    Hook("mode.threads:ServiceThread", "_close_thread_loop_on_stop", "set: it is our loop"),
    Hook(_APP, "_consumer", "read: None until Faust has made the consumer"),
    Hook("aiokafka.consumer.consumer:AIOKafkaConsumer", "_fetch_max_wait_ms", "set"),
    Hook("aiokafka.consumer.consumer:AIOKafkaConsumer", "_fetcher", "read"),
    Hook("aiokafka.consumer.consumer:AIOKafkaConsumer", "_subscription", "read"),
    Hook("aiokafka.consumer.consumer:AIOKafkaConsumer", "_closed", "read"),
    Hook(_FETCHER, "_subscriptions", "read: whether a rebalance is in progress"),
    Hook(_FETCHER, "_closed", "read"),
    Hook(_FETCHER, "_fetcher_timeout", "set: the longest that a missed end of a fetch costs"),
    Hook(_FETCHER, "_prefetch_backoff", "set: 0, so that partitions do not wait for each other"),
    Hook(f"{_STATE}:TopicPartitionState", "lso", "read: the log's end, but for transactions"),
    Hook(f"{_STATE}:TopicPartitionState", "position", "read: where the next fetch begins"),
    Hook("aiokafka.consumer.consumer:AIOKafkaConsumer", "_isolation_level", "set"),
    Hook("aiokafka.producer.producer:AIOKafkaProducer", "_sender", "read: whether it has died"),
    Hook("aiokafka.producer.sender:Sender", "sender_task", "read and cancelled"),
)
