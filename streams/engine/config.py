"""Which settings does the engine have, and which values are safe?"""

from dataclasses import dataclass

from streams.engine.errors import EngineConfigError

MIN_SESSION_TIMEOUT_S = 6.0
"""Kafka refuses a smaller one (error 26) for ever, while the worker looks alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Settings of one consuming application.

    Attributes:
        app_id: Name of the consumer group; workers that share it share the partitions.
        brokers: Addresses, `host:port`.
        max_slice_records: Most records in one slice. Larger ones cost less per event and hold
            the event loop longer.
        max_buffered_slices: Most slices of one partition that are fetched and unfinished.
        fetch_wait_ms: Longest time that the broker holds a fetch while nothing arrives. An
            arrival on a partition that was not part of that fetch waits for its end.
        max_partition_fetch_bytes: Most bytes that one fetch brings of one partition.
        metadata_max_age_s: How soon a new, grown or deleted topic is noticed.
        commit_interval_s: How often the group's offset is committed. Only lag monitors read it.
        session_timeout_s: Time without heartbeats after which the group drops this member.
        heartbeat_interval_s: Time between heartbeats.
        rebalance_timeout_s: Time that the group waits for a member to rejoin.
        request_timeout_s: Deadline of a request to the broker.
        start_timeout_s: Deadline of `start_offsets`, seeking included. It must end before
            request_timeout_s, at which Faust would stop resuming partitions, silently.
        revoke_grace_s: How long partitions that are being taken away wait for the slice in
            progress, so that their next owner does not meet our last write.
        stop_grace_s: How long a shutdown may take before the process is ended all the same.
        stall_timeout_s: Time without a finished slice, while events wait, that counts as a stall.
        use_uvloop: Run on uvloop.
    """

    app_id: str
    brokers: tuple[str, ...]
    max_slice_records: int = 1000
    max_buffered_slices: int = 2
    fetch_wait_ms: int = 100
    max_partition_fetch_bytes: int = 1024 * 1024
    metadata_max_age_s: float = 30.0
    commit_interval_s: float = 2.0
    session_timeout_s: float = 10.0
    heartbeat_interval_s: float = 3.0
    rebalance_timeout_s: float = 60.0
    request_timeout_s: float = 90.0
    start_timeout_s: float = 60.0
    revoke_grace_s: float = 3.0
    stop_grace_s: float = 20.0
    stall_timeout_s: float = 60.0
    use_uvloop: bool = True

    def __post_init__(self) -> None:
        """Refuse values that are known to hang or to lose events.

        Raises:
            EngineConfigError: Naming every bad value.
        """
        if problems := list(self._problems()):
            raise EngineConfigError("; ".join(problems))

    def _problems(self) -> list[str]:
        requirements = [
            (bool(self.app_id), "app_id", "not empty"),
            (bool(self.brokers), "brokers", "at least one host:port"),
            (self.max_slice_records >= 1, "max_slice_records", "at least 1"),
            (self.max_buffered_slices >= 1, "max_buffered_slices", "at least 1"),
            (self.fetch_wait_ms >= 1, "fetch_wait_ms", "at least 1"),
            (self.max_partition_fetch_bytes >= 1024, "max_partition_fetch_bytes", "at least 1024"),
            (self.metadata_max_age_s > 0, "metadata_max_age_s", "above 0"),
            (self.commit_interval_s > 0, "commit_interval_s", "above 0"),
            (
                self.session_timeout_s >= MIN_SESSION_TIMEOUT_S,
                "session_timeout_s",
                f"at least {MIN_SESSION_TIMEOUT_S} (Kafka refuses less for ever)",
            ),
            (
                0 < self.heartbeat_interval_s <= self.session_timeout_s / 3,
                "heartbeat_interval_s",
                "above 0 and at most a third of session_timeout_s",
            ),
            (
                self.request_timeout_s >= self.session_timeout_s,
                "request_timeout_s",
                "at least session_timeout_s",
            ),
            (
                0 < self.start_timeout_s <= self.request_timeout_s - 5,
                "start_timeout_s",
                "above 0 and at least 5 s less than request_timeout_s",
            ),
            (
                0 <= self.revoke_grace_s < self.rebalance_timeout_s,
                "revoke_grace_s",
                "from 0 to less than rebalance_timeout_s",
            ),
            (self.stop_grace_s > 0, "stop_grace_s", "above 0"),
            (self.stall_timeout_s > 0, "stall_timeout_s", "above 0"),
        ]
        return [
            f"{name}={getattr(self, name)!r}, expected {expected}"
            for holds, name, expected in requirements
            if not holds
        ]
