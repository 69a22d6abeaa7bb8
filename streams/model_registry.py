"""Which bundles exist, which is current, and how does another one become current?

The folder holds the bundles, named by kind and time of training; the topic `models` says which is
current, which challenges it, and what was decided on each. Promotion and rollback are the same act,
an announcement, so that every worker follows within a second.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from models.bundle import Bundle, BundleRefused, load_bundle
from models.encoder import BUNDLE_KIND
from streams.announcements import (
    ANNOUNCEMENT_VERSION,
    CHALLENGING,
    Announcement,
    AnnouncementCorrupt,
    Decision,
    Role,
    decode_announcement,
    key_of,
    key_of_bundle,
    records_of,
    standing_by,
)
from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_DEADLINE_S: Final = 30.0
_CONNECT_MS: Final = 5_000


class NoSuchBundle(StreamsError, ValueError):
    """The folder has no such bundle, or the prefix of its digest names several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleEntry:
    """One folder below the bundles' folder.

    Attributes:
        folder: It.
        bundle: What it holds; None where it cannot be used,
        refusal: and why not.
        is_current: Whether lists are made with it.
        decided: What was last decided on it, as far as the topic tells.
    """

    folder: Path
    bundle: Bundle | None
    refusal: str | None = None
    is_current: bool = False
    decided: Announcement | None = None


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
        """Return what the topic still holds about the current bundle, oldest first.

        The last is in force. What cannot be read is passed over: the workers count and refuse it.

        Raises:
            StreamsError: There is no such topic, or it cannot be read to its end.
        """
        wanted = key_of(kind, Role.CURRENT)
        return [announcement for key, announcement in self._said() if key == wanted]

    def _said(self) -> list[tuple[bytes, Announcement]]:
        """Return all announcements by key, each partition's in order."""
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
            return self._read_to_end(consumer, partitions)

    def current(self, kind: str) -> Announcement | None:
        """Return the announcement in force."""
        return dict(self._said()).get(key_of(kind, Role.CURRENT))

    def bundles(self, kind: str) -> list[BundleEntry]:
        """Return every bundle of a kind, oldest training first, damaged ones included."""
        said = dict(self._said())
        entries = [
            self._entry(folder, kind, said)
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
        current = self.current(kind)
        announced = self.announce(found[0], decision=Decision.PROMOTE, reason=reason)
        if kind == BUNDLE_KIND and current is not None and current.digest != announced.digest:
            # An operator may be wrong, too: what was in use comes back by itself if this one loses.
            self._send(standing_by(current, announced), Role.CHALLENGER)
        return announced

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
        """Announce a bundle as current, or as a challenger where that is what was decided.

        Returns when Kafka has acknowledged it.
        """
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
        self._send(announcement, Role.CHALLENGER if decision in CHALLENGING else Role.CURRENT)
        return announcement

    def _send(self, announcement: Announcement, role: Role) -> None:
        producer = KafkaProducer(bootstrap_servers=self._brokers, acks="all")
        try:
            for key, value in records_of(announcement, role):
                producer.send(self._topic, key=key, value=value).get(timeout=_DEADLINE_S)
        finally:
            producer.close(timeout=_DEADLINE_S)

    def _entry(self, folder: Path, kind: str, said: Mapping[bytes, Announcement]) -> BundleEntry:
        try:
            bundle = load_bundle(folder)
        except BundleRefused as error:
            return BundleEntry(folder=folder, bundle=None, refusal=str(error))
        if bundle.config.kind != kind:
            refusal = f"{folder}: kind {bundle.config.kind!r} found, {kind!r} expected by its name"
            return BundleEntry(folder=folder, bundle=None, refusal=refusal)
        current = said.get(key_of(kind, Role.CURRENT))
        return BundleEntry(
            folder=folder,
            bundle=bundle,
            is_current=current is not None and current.digest == bundle.digest,
            decided=said.get(key_of_bundle(kind, bundle.digest)),
        )

    def _read_to_end(
        self, consumer: KafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> list[tuple[bytes, Announcement]]:
        ends = consumer.end_offsets(partitions)
        announced: list[tuple[bytes, Announcement]] = []
        deadline = time.monotonic() + _DEADLINE_S
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            if time.monotonic() > deadline:
                raise StreamsError(
                    f"topic {self._topic} could not be read to its end in {_DEADLINE_S:.0f} s: "
                    "is Kafka well?"
                )
            for records in consumer.poll(timeout_ms=500).values():
                announced += [
                    (record.key, announcement)
                    for record in records
                    if (announcement := _readable(record.value))
                ]
        return announced


def _readable(value: bytes | None) -> Announcement | None:
    if value is None:
        return None
    try:
        return decode_announcement(value)
    except AnnouncementCorrupt:
        return None
