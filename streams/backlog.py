"""How much of what was sent is not digested yet, by the workers and by the learner?

Asked from outside, of Kafka and Redis alone, by whoever sends events in portions (the demo, tests):
a replay that runs hours of event time ahead of the learner would be answered by counters hours old.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec
from kafka import KafkaConsumer, TopicPartition
from redis import Redis

from featurestore.keys import LEARNER_BASE, LEARNER_DELTAS, checkpoint_key
from featurestore.store import Checkpoint
from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.config import Config

_ASK_EVERY_S: Final = 0.05
_checkpoints: Final = msgspec.json.Decoder(Checkpoint)


class NotDigested(StreamsError):
    """The workers or the learner did not get through what was sent in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits.

    Attributes:
        num_events: Records of `events` that no checkpoint covers.
        num_examples: Records of `examples` that no published delta or base covers.
    """

    num_events: int
    num_examples: int

    @property
    def is_digested(self) -> bool:
        """Whether nothing waits."""
        return self.num_events == 0 and self.num_examples == 0


class BacklogProbe:
    """Asks again and again over two connections; to be used as a context manager."""

    def __init__(self, config: Config) -> None:
        """Connect to Kafka and Redis."""
        self._topics = config.kafka.topics
        self._consumer = KafkaConsumer(bootstrap_servers=list(config.kafka.brokers))
        self._redis = Redis.from_url(config.redis.url.reveal())
        numbers = self._consumer.partitions_for_topic(self._topics.events) or ()
        self._events = [TopicPartition(self._topics.events, number) for number in sorted(numbers)]
        self._examples = TopicPartition(self._topics.examples, 0)
        # Nothing is read, but of assigned partitions the leaders stay known. Every five minutes
        # kafka-python 3.0.12 forgets those that it does not need, and where it knows the leaders of
        # some partitions only, the others are missing from its answer.
        self._consumer.assign([*self._events, self._examples])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with closing(self._consumer), closing(self._redis):
            pass

    def ask(self) -> Backlog:
        """Return what waits now."""
        # In the way of an event, and ends first: what moves on in between must not look digested. A
        # worker's examples are logged before its checkpoint is written.
        ends = self._consumer.end_offsets(self._events)
        starts = self._consumer.beginning_offsets([*self._events, self._examples])
        waiting = sum(
            max(0, ends[partition] - max(starts[partition], self._folded(partition.partition)))
            for partition in self._events
        )
        end = self._consumer.end_offsets([self._examples])[self._examples]
        learned = max(starts[self._examples], self._learned())
        return Backlog(num_events=waiting, num_examples=max(0, end - learned))

    def wait_until_digested(self, *, deadline_s: float) -> None:
        """Return when nothing waits.

        Raises:
            NotDigested: Not within `deadline_s`; the message says what still waits.
        """
        give_up_s = time.monotonic() + deadline_s
        while not (backlog := self.ask()).is_digested:
            if time.monotonic() > give_up_s:
                raise NotDigested(
                    f"after {deadline_s:.0f} s {backlog.num_events} events and "
                    f"{backlog.num_examples} examples still wait: see the roles' logs, which "
                    "`headrace status` names"
                )
            time.sleep(_ASK_EVERY_S)

    def _folded(self, partition: int) -> int:
        value = cast(
            "bytes | None", self._redis.get(checkpoint_key(self._topics.events, partition))
        )
        return 0 if value is None else _checkpoints.decode(value).next_offset

    def _learned(self) -> int:
        newest = cast("list[Any]", self._redis.xrevrange(LEARNER_DELTAS.decode(), count=1))
        published = int(newest[0][1][b"to"]) if newest else 0
        saved = cast("bytes | None", self._redis.hget(LEARNER_BASE.decode(), "offset"))
        return max(published, int(saved or 0))
