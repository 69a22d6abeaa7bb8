"""Which bundle is current? One record of the compacted topic `models` says so, for each kind.

The topic is the truth; the bundles lie in a folder or a mounted object store. The key of a record
is the model's kind ("transformer"), so that compaction keeps the newest word on each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

ANNOUNCEMENT_VERSION: Final = 1


class AnnouncementCorrupt(ValueError):
    """A record of `models` cannot be read: it is no announcement, or of another version."""


class Decision(StrEnum):
    """Who made a bundle the current one."""

    GATE = "gate"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle is current from now on.

    `uri` is the bundle's folder, `digest` the hash of its content: a folder with another content is
    refused. `cutoff_offset` is the offset of `examples` up to which its training data reached,
    `cutoff_ms` the newest event in that data. `reason` is written for a person.
    """

    version: int
    kind: str
    digest: str
    uri: str
    cutoff_offset: int
    cutoff_ms: int
    trained_at_ms: int
    decision: Decision
    reason: str


_decoder = msgspec.json.Decoder(Announcement)


def encode_announcement(announcement: Announcement) -> bytes:
    """Return the record's value."""
    return msgspec.json.encode(announcement)


def decode_announcement(value: bytes) -> Announcement:
    """Return the announcement that a record's value encodes.

    Raises:
        AnnouncementCorrupt: `value` is no announcement of this version.
    """
    try:
        announcement = _decoder.decode(value)
    except msgspec.DecodeError as error:
        raise AnnouncementCorrupt(
            f"a record of the models topic is no announcement ({error}); expected the JSON that "
            "`headrace models promote` writes: promote a bundle again"
        ) from error
    if announcement.version != ANNOUNCEMENT_VERSION:
        raise AnnouncementCorrupt(
            f"an announcement has version {announcement.version}, expected {ANNOUNCEMENT_VERSION}: "
            "promote the bundle again with this release"
        )
    return announcement
