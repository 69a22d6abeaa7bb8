"""Dead letters: what is kept, and that nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.events import EventRefused, RefusalReason
from streams.dead_letters import (
    REASON,
    REDRIVEN,
    DeadLetterCorrupt,
    dead_letter_of,
    is_redriven,
    read_dead_letter,
)
from streams.engine import Record


@given(
    value=st.none() | st.binary(max_size=300),
    key=st.none() | st.binary(max_size=20),
    detail=st.text(max_size=50),
    reason=st.sampled_from(list(RefusalReason)),
)
def test_a_letter_keeps_the_bytes_and_names_its_origin(
    value: bytes | None, key: bytes | None, detail: str, reason: RefusalReason
) -> None:
    headers = (("theirs", b"x"), (REASON, b"forged"))
    record = Record(offset=7, key=key, value=value, append_ms=99, headers=headers)

    sent = dead_letter_of(record, EventRefused(reason, detail), topic="events", partition=3)
    letter = read_dead_letter(sent.key, sent.value, sent.headers)

    assert (letter.value, letter.key) == (value, key)
    assert (letter.reason, letter.detail) == (str(reason), detail)
    assert letter.identity == ("events", 3, 7)
    assert letter.append_ms == 99
    assert ("theirs", b"x") in sent.headers


def test_what_no_worker_wrote_is_no_letter() -> None:
    with pytest.raises(DeadLetterCorrupt, match="let nothing else produce"):
        read_dead_letter(b"k", b"v", [("theirs", b"x")])


def test_a_redriven_event_is_recognised_by_its_header() -> None:
    plain = Record(offset=0, key=None, value=b"", append_ms=0)
    returned = Record(offset=0, key=None, value=b"", append_ms=0, headers=((REDRIVEN, b"0-1"),))

    assert not is_redriven(plain)
    assert is_redriven(returned)
