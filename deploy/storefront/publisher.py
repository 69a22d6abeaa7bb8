"""How do the shop's events reach Kafka? As an application would send them."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from deploy.storefront.events import CatalogueItem, encode, key_of

if TYPE_CHECKING:
    from deploy.storefront.events import Event

_FLUSH_TIMEOUT_S = 60.0


class PublishError(RuntimeError):
    """An event was not accepted by Kafka."""


class Publisher:
    """Sends events keyed by shopper (records of items by item), in order within a key.

    kafka-python's default partitioner is the murmur2 of Kafka's own clients, and its default
    producer is idempotent: a retry neither doubles nor reorders.

    Raises:
        PublishError: from `send`, `flush` or at the end of a `with` block, for the first event
            that Kafka refused since the last call.
    """

    def __init__(self, kafka_bootstrap: str, *, topic_prefix: str = "") -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=kafka_bootstrap, acks="all", linger_ms=5, batch_size=65_536
        )
        self._events_topic = f"{topic_prefix}events"
        self._items_topic = f"{topic_prefix}items"
        self._refused: Exception | None = None
        self.num_events = 0

    def send(self, event: Event) -> None:
        """Hand an event to the producer; it leaves within a few milliseconds."""
        topic = self._items_topic if isinstance(event, CatalogueItem) else self._events_topic
        try:
            sent = self._producer.send(topic, value=encode(event), key=key_of(event))
        except KafkaError as error:
            raise self._refusal(error) from error
        sent.add_errback(self._remember)
        self.num_events += 1
        self._raise_refused()

    def flush(self) -> None:
        """Wait until Kafka has acknowledged everything sent so far."""
        self._producer.flush(timeout=_FLUSH_TIMEOUT_S)
        self._raise_refused()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._producer.close(timeout=5)

    def _remember(self, error: Exception) -> None:
        self._refused = self._refused or error

    def _raise_refused(self) -> None:
        if self._refused is not None:
            refused, self._refused = self._refused, None
            raise self._refusal(refused) from refused

    def _refusal(self, error: Exception) -> PublishError:
        return PublishError(
            f"Kafka refused an event: {error!r}; check that the topics "
            f"{self._events_topic!r} and {self._items_topic!r} exist and the broker is up"
        )
