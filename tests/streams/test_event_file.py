from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.events import UserId, Visit, decode_event
from streams.event_file import EventFileError, read_values, write_events

EVENTS = [Visit(event_id=f"e{n}", user_id=UserId("u"), ts_ms=n + 1) for n in range(100)]


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_reads_back_what_was_written(tmp_path: Path, name: str) -> None:
    assert write_events(tmp_path / name, EVENTS) == 100

    assert [decode_event(value) for value in read_values(tmp_path / name)] == EVENTS


def test_equal_events_give_equal_compressed_files(tmp_path: Path) -> None:
    write_events(tmp_path / "a.jsonl.gz", EVENTS)
    write_events(tmp_path / "b.jsonl.gz", EVENTS)

    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_no_file_is_left_of_an_interrupted_conversion(tmp_path: Path) -> None:
    def broken() -> object:
        yield EVENTS[0]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_events(tmp_path / "events.jsonl", broken())  # type: ignore[arg-type]

    assert list(tmp_path.iterdir()) == []


def test_empty_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a":1}\n\n  \n{"b":2}')

    assert list(read_values(path)) == [b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize("content", [b"no gzip", b"\x1f\x8b\x08\x00"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(content)

    with pytest.raises(EventFileError, match=r"events\.jsonl\.gz"):
        list(read_values(path))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match="nothing"):
        list(read_values(tmp_path / "nothing.jsonl"))
