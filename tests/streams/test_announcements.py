"""What makes a bundle the current one, as bytes."""

import msgspec
import pytest

from streams.announcements import (
    ANNOUNCEMENT_VERSION,
    Announcement,
    AnnouncementCorrupt,
    Decision,
    decode_announcement,
    encode_announcement,
)

ANNOUNCED = Announcement(
    version=ANNOUNCEMENT_VERSION,
    kind="transformer",
    digest="ab" * 32,
    uri="/models/transformer-1",
    cutoff_offset=7,
    cutoff_ms=1_700_000_000_000,
    trained_at_ms=1_700_000_060_000,
    decision=Decision.GATE,
    reason="MRR 0.2 against 0.1",
)


def test_an_announcement_comes_back_as_it_went() -> None:
    assert decode_announcement(encode_announcement(ANNOUNCED)) == ANNOUNCED


def test_a_person_can_read_it_in_the_topic() -> None:
    plain = msgspec.json.decode(encode_announcement(ANNOUNCED))

    assert plain["decision"] == "gate"
    assert plain["reason"] == "MRR 0.2 against 0.1"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        encode_announcement(ANNOUNCED)[:-1],
        encode_announcement(ANNOUNCED).replace(b'"gate"', b'"whim"'),
        encode_announcement(ANNOUNCED).replace(b'"cutoff_offset":7', b'"cutoff_offset":"7"'),
    ],
    ids=["empty", "no fields", "no text", "cut off", "unknown decision", "wrong type"],
)
def test_what_is_no_announcement_is_refused_with_the_remedy(value: bytes) -> None:
    with pytest.raises(AnnouncementCorrupt, match="promote a bundle again"):
        decode_announcement(value)


def test_another_version_is_refused() -> None:
    newer = msgspec.structs.replace(ANNOUNCED, version=ANNOUNCEMENT_VERSION + 1)

    with pytest.raises(AnnouncementCorrupt, match="version 2, expected 1"):
        decode_announcement(encode_announcement(newer))
