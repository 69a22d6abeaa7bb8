"""How are events kept in a file? JSON lines, the same bytes that go to Kafka, perhaps gzipped.

The compression is told by the name (`.gz`). Equal events give equal files.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from featurestore.events import CatalogueItem, Event, encode_event

GZIP_SUFFIX = ".gz"
_GZIP_LEVEL = 3


class EventFileError(ValueError):
    """A file cannot be read as events; the message names it and the remedy."""


def write_events(
    path: Path,
    events: Iterable[Event | CatalogueItem],
    on_event: Callable[[], object] | None = None,
) -> int:
    """Write one event per line, and return how many there were.

    The file appears under its name only when it is complete.

    Args:
        path: `.jsonl`, or `.jsonl.gz` for a compressed one.
        events: In the order in which they are to be replayed; or records of a catalogue.
        on_event: Called after each event, for a progress bar.
    """
    num_events = 0
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as raw, _compressing(path, raw) as out:
            for event in events:
                out.write(encode_event(event) + b"\n")
                num_events += 1
                if on_event is not None:
                    on_event()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return num_events


def read_values(path: Path) -> Iterator[bytes]:
    """Yield the lines of an event file, undecoded; empty lines are left out.

    Raises:
        EventFileError: There is no such file, or it is not whole.
    """
    try:
        with path.open("rb") as raw, _decompressing(path, raw) as lines:
            for line in lines:
                if value := line.strip():
                    yield value
    except (OSError, EOFError) as error:
        raise EventFileError(
            f"{path}: {error}; expected JSON lines of events, .jsonl or .jsonl.gz, as "
            "`headrace convert` writes them"
        ) from error


def _compressing(path: Path, raw: BinaryIO) -> BinaryIO:
    if path.suffix != GZIP_SUFFIX:
        return raw
    # Neither name nor time in the header: the same events give the same bytes.
    return cast(
        "BinaryIO",
        gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0),
    )


def _decompressing(path: Path, raw: BinaryIO) -> BinaryIO:
    if path.suffix != GZIP_SUFFIX:
        return raw
    return cast("BinaryIO", gzip.GzipFile(mode="rb", fileobj=raw))
