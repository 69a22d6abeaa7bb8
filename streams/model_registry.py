"""Which bundles exist, which is current, and how does another one become current?

The folder holds the bundles, named by kind and time of training; the topic `models` says which is
current. Promotion and rollback are the same act, an announcement, so that every worker follows
within a second and the log of the topic tells what was decided, and why.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from models.bundle import Bundle, BundleRefused, load_bundle
from streams.announcements import (
    ANNOUNCEMENT_VERSION,
    Announcement,
    AnnouncementCorrupt,
    Decision,
    decode_announcement,
    encode_announcement,
)
from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DEADLINE_S: Final = 30.0
_CONNECT_MS: Final = 5_000


class NoSuchBundle(StreamsError, ValueError):
    """The folder has no such bundle, or the prefix of its digest names several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleEntry:
    """One folder below the bundles' folder; `refusal` says why it could not be used, if so."""

    folder: Path
    bundle: Bundle | None
    refusal: str | None
    is_current: bool


class ModelRegistry:
    """The bundles of one folder, and the announcements of one topic."""

    def __init__(self, folder: Path, brokers: Sequence[str], topic: str) -> None:
        """Remember where bundles and announcements are.

        Args:
            folder: Where the trainer writes bundles.
            brokers: Kafka's addresses, `host:port`.
            topic: The topic of announcements.
        """
        self._folder = folder
        self._brokers = list(brokers)
        self._topic = topic

    def announcements(self, kind: str) -> list[Announcement]:
        """Return what the topic still holds about a kind, oldest first; the last is in force.

        What cannot be read is passed over here: the workers count and refuse it.

        Raises:
            StreamsError: There is no such topic, or it cannot be read to its end.
        """
        with closing(
            KafkaConsumer(bootstrap_servers=self._brokers, bootstrap_timeout_ms=_CONNECT_MS)
        ) as consumer:
            partitions = [
                TopicPartition(self._topic, number)
                for number in sorted(consumer.partitions_for_topic(self._topic) or ())
            ]
            if not partitions:
                raise StreamsError(
                    f"topic {self._topic!r} does not exist at {', '.join(self._brokers)}; create "
                    "the topics first (`headrace up` does)"
                )
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            return self._read_to_end(consumer, partitions, kind)

    def current(self, kind: str) -> Announcement | None:
        """Return the announcement in force."""
        announced = self.announcements(kind)
        return announced[-1] if announced else None

    def bundles(self, kind: str) -> list[BundleEntry]:
        """Return every bundle of a kind, oldest training first, damaged ones included."""
        current = self.current(kind)
        entries = [
            self._entry(folder, current)
            for folder in sorted(self._folder.glob(f"{kind}-*"))
            if folder.is_dir()
        ]
        return sorted(
            entries, key=lambda entry: entry.bundle.config.created_ms if entry.bundle else 0
        )

    def promote(self, kind: str, digest_prefix: str, *, reason: str) -> Announcement:
        """Make an existing bundle the current one.

        Raises:
            NoSuchBundle: No intact bundle's digest begins so, or several do.
        """
        found = [
            entry.bundle
            for entry in self.bundles(kind)
            if entry.bundle is not None and entry.bundle.digest.startswith(digest_prefix)
        ]
        if len(found) != 1:
            raise NoSuchBundle(
                f"{len(found)} intact bundles of {kind} have a digest that begins with "
                f"{digest_prefix!r}, expected one: `headrace models list` shows them"
            )
        return self.announce(found[0], decision=Decision.PROMOTE, reason=reason)

    def rollback(self, kind: str, *, reason: str) -> Announcement:
        """Make the newest intact bundle that was trained before the current one current.

        Raises:
            NoSuchBundle: Nothing is current, or there is none before it.
        """
        # Of the announcement, not of the bundle: what is to be replaced may be damaged.
        current = self.current(kind)
        before_ms = 0 if current is None else current.trained_at_ms
        earlier = [
            entry.bundle
            for entry in self.bundles(kind)
            if entry.bundle is not None and entry.bundle.config.created_ms < before_ms
        ]
        if not earlier:
            raise NoSuchBundle(
                f"there is no intact bundle of {kind} trained before the current one: "
                "`headrace models list` shows what there is"
            )
        return self.announce(earlier[-1], decision=Decision.ROLLBACK, reason=reason)

    def announce(self, bundle: Bundle, *, decision: Decision, reason: str) -> Announcement:
        """Write the announcement and wait until Kafka has acknowledged it."""
        announcement = Announcement(
            version=ANNOUNCEMENT_VERSION,
            kind=bundle.config.kind,
            digest=bundle.digest,
            uri=str(bundle.folder.resolve()),
            cutoff_offset=bundle.config.cutoff_offset,
            cutoff_ms=bundle.config.cutoff_ms,
            trained_at_ms=bundle.config.created_ms,
            decision=decision,
            reason=reason,
        )
        producer = KafkaProducer(bootstrap_servers=self._brokers, acks="all")
        try:
            sent = producer.send(
                self._topic,
                key=announcement.kind.encode(),
                value=encode_announcement(announcement),
            )
            sent.get(timeout=_DEADLINE_S)
        finally:
            producer.close(timeout=_DEADLINE_S)
        return announcement

    def _entry(self, folder: Path, current: Announcement | None) -> BundleEntry:
        try:
            bundle = load_bundle(folder)
        except BundleRefused as error:
            return BundleEntry(folder=folder, bundle=None, refusal=str(error), is_current=False)
        is_current = current is not None and current.digest == bundle.digest
        return BundleEntry(folder=folder, bundle=bundle, refusal=None, is_current=is_current)

    def _read_to_end(
        self, consumer: KafkaConsumer, partitions: Sequence[TopicPartition], kind: str
    ) -> list[Announcement]:
        ends = consumer.end_offsets(partitions)
        announced: list[Announcement] = []
        deadline = time.monotonic() + _DEADLINE_S
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            if time.monotonic() > deadline:
                raise StreamsError(
                    f"topic {self._topic} could not be read to its end in {_DEADLINE_S:.0f} s: "
                    "is Kafka well?"
                )
            for records in consumer.poll(timeout_ms=500).values():
                announced += [
                    announcement
                    for record in records
                    if (announcement := _readable(record.value)) and announcement.kind == kind
                ]
        return announced


def _readable(value: bytes | None) -> Announcement | None:
    if value is None:
        return None
    try:
        return decode_announcement(value)
    except AnnouncementCorrupt:
        return None
