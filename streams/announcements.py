"""Which bundle is in use, and which one challenges it? Records of the topic `models` say so.

The topic is the truth; the bundles lie in a folder or a mounted object store. The key of a record
is the model's kind ("transformer"), for the challenger "transformer/challenger", and what was last
decided on a bundle stands under "transformer/" and its digest, too: compaction keeps the newest
word on each.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

ANNOUNCEMENT_VERSION: Final = 1
DIGEST_CHARS: Final = 8


class AnnouncementCorrupt(ValueError):
    """A record of `models` cannot be read: it is no announcement, or of another version."""


class Role(StrEnum):
    """What a bundle is announced as."""

    CURRENT = "current"
    CHALLENGER = "challenger"


class Place(NamedTuple):
    """What the last word on counts: a role of a kind."""

    kind: str
    role: Role


class Decision(StrEnum):
    """What was decided on a bundle, and by whom.

    Current are those of the gate (held-out actions and, beside another one, live traffic), of an
    operator (`promote`, `rollback`), and those that the gate went back to (`live_rollback`).
    Challengers are a `candidate` for promotion, and after each promotion the bundle that was
    current before, which stands by (`standby`). A bundle that was `refused` or `retired` is no
    longer a challenger.
    """

    GATE = "gate"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    LIVE_ROLLBACK = "live_rollback"
    CANDIDATE = "candidate"
    STANDBY = "standby"
    REFUSED = "refused"
    RETIRED = "retired"


CHALLENGING: Final = frozenset({Decision.CANDIDATE, Decision.STANDBY})
"""Of the challenger's record: the bundle is to be compared with the one in use."""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle is current, or challenges the current one, from now on.

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

    @property
    def short_digest(self) -> str:
        """By which rows, lists and metrics name the bundle."""
        return self.digest[:DIGEST_CHARS]

    def decided(self, decision: Decision, reason: str) -> Announcement:
        """Return the same bundle with another decision on it."""
        return msgspec.structs.replace(self, decision=decision, reason=reason)


def standing_by(former: Announcement, newer: Announcement) -> Announcement:
    """Return what is said of a bundle in whose place a newer one has come."""
    reason = f"in use before {newer.short_digest}, which is compared with it on live traffic"
    return former.decided(Decision.STANDBY, reason)


_decoder = msgspec.json.Decoder(Announcement)


def key_of(kind: str, role: Role) -> bytes:
    """Return the key of what is said of a role."""
    return (kind if role is Role.CURRENT else f"{kind}/{role}").encode()


def key_of_bundle(kind: str, digest: str) -> bytes:
    """Return the key of what was last decided on a bundle."""
    return f"{kind}/{digest}".encode()


def place_of(key: bytes | None, kinds: Iterable[str]) -> Place | None:
    """Return which role of which kind a record's key speaks of; None for another kind or none."""
    places = (Place(kind, role) for kind in kinds for role in Role)
    return next((place for place in places if key == key_of(*place)), None)


def records_of(announcement: Announcement, role: Role) -> list[tuple[bytes, bytes]]:
    """Return the records, key and value, by which a bundle is announced in a role."""
    value = encode_announcement(announcement)
    return [
        (key_of_bundle(announcement.kind, announcement.digest), value),
        (key_of(announcement.kind, role), value),
    ]


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
