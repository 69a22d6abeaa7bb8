"""Which partitions are ours, and where does each go on?

After every assignment the checkpoints of all partitions are read; what was kept of a partition
stays in use only if its checkpoint is still the one that was last written here.
"""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.store import Checkpoint
from streams.config import Config
from streams.engine import TP
from streams.errors import RestartNeeded, StartRefused
from streams.pipeline.chunks import Chunk
from streams.topic_identity import TopicIdentity, await_topic
from streams.worker.accounting import WorkerAccounts
from streams.worker.ownership import NOTHING_LOST, OwnedPartition, lost_from, start_offset
from streams.worker.storing import WorkerStore


class OwnedPartitions:
    """The partitions of `events` that this worker owns."""

    def __init__(
        self, config: Config, store: WorkerStore, accounts: WorkerAccounts, *, fold_version: str
    ) -> None:
        self._config = config
        self._store = store
        self._accounts = accounts
        self._fold_version = fold_version
        self._owned: dict[int, OwnedPartition] = {}
        self._topic: TopicIdentity | None = None
        self._cut: set[int] = set()

    @property
    def topic(self) -> TopicIdentity:
        """Which topic it is; known from the first assignment on."""
        if self._topic is None:
            raise AssertionError("slices come only after an assignment")
        return self._topic

    def __getitem__(self, partition: int) -> OwnedPartition:
        return self._owned[partition]

    def get(self, partition: int) -> OwnedPartition | None:
        """Return what is held of a partition; None if it is not ours."""
        return self._owned.get(partition)

    def all(self) -> list[OwnedPartition]:
        """Return all that are ours now."""
        return list(self._owned.values())

    @property
    def max_users(self) -> int:
        """How many states each partition may keep."""
        return self._config.worker.cached_users // max(1, len(self._owned))

    async def take_over(self, tps: frozenset[TP]) -> Mapping[TP, int]:
        """Own exactly these partitions from now on, and return where they go on.

        Raises:
            StartRefused: The store belongs to another topic, fold or number of partitions.
        """
        self._topic = await self._identify()
        owned = {tp.partition: await self._take(tp.partition) for tp in tps}
        offsets = {tp: self._offset_of(owned[tp.partition].checkpoint, tp.partition) for tp in tps}
        self._owned = owned
        self._accounts.assigned(owned)
        return offsets

    def lost(self, tp: TP, num_lost: int) -> None:
        """Retention has cut events of a partition before they were read: its offsets will jump."""
        self._cut.add(tp.partition)
        self._accounts.lost(tp, num_lost)

    def lost_before(self, owned: OwnedPartition, chunk: Chunk) -> int:
        """Return where retention had cut the log before a chunk, or `NOTHING_LOST`.

        Raises:
            RestartNeeded: The chunk does not continue the checkpoint, and nothing was cut.
        """
        at = lost_from(owned.checkpoint, chunk)
        if at != NOTHING_LOST and owned.number not in self._cut:
            raise RestartNeeded(
                f"partition {owned.number} goes on at offset {chunk.from_offset}, expected {at}, "
                "where its checkpoint stands; starting again from there"
            )
        return at

    def give_way(self, owned: OwnedPartition, ahead: Checkpoint) -> None:
        """Another owner was here: what he wrote is right, go on behind it.

        Raises:
            StartRefused: He folds by other rules.
        """
        self._accounts.rejected()
        self._offset_of(ahead, owned.number)
        owned.forget(ahead)

    def checkpoint_at(self, next_offset: int) -> Checkpoint:
        """Return the checkpoint that stands for everything before an offset."""
        return Checkpoint(
            topic_id=self.topic.topic_id,
            next_offset=next_offset,
            fold_version=self._fold_version,
        )

    async def _identify(self) -> TopicIdentity:
        kafka = self._config.kafka
        topic = await await_topic(
            kafka.brokers,
            kafka.topics.events,
            max_pause_s=self._config.redis.retry_s,
            on_fault=self._accounts.broker_failed,
        )
        recorded = await self._store.record_partitions(topic.name, topic.num_partitions)
        if recorded != topic.num_partitions:
            raise StartRefused(
                f"topic {topic.name!r} has {topic.num_partitions} partitions, but the states in "
                f"the store were written when it had {recorded}: users have moved to other "
                "partitions. Follow docs/migrate-partitions.md, or bring back the former count"
            )
        return topic

    async def _take(self, partition: int) -> OwnedPartition:
        checkpoint = await self._store.checkpoint(self.topic.name, partition)
        held = self._owned.get(partition)
        if held is not None and held.checkpoint == checkpoint:
            return held
        return OwnedPartition(number=partition, checkpoint=checkpoint)

    def _offset_of(self, checkpoint: Checkpoint | None, partition: int) -> int:
        return start_offset(
            checkpoint,
            topic=self.topic.name,
            partition=partition,
            topic_id=self.topic.topic_id,
            fold_version=self._fold_version,
        )
