"""What have all RESULT.json in common? The run that they are of, and how they are written."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class RunResult(Struct, frozen=True, kw_only=True):
    """What came of a run over a log.

    Attributes:
        headrace: Version of the program.
        file: Name of the event file or topic.
        file_digest: blake2b-128 of its events' bytes.
        items_digest: blake2b-128 of the newest record of each item of the catalogue, by id; null
            where none was read, as off-policy never does.
        configuration: Digest of the configuration.
        overrides: The `--set` of the run.
    """

    headrace: str
    file: str
    file_digest: str
    items_digest: str | None = None
    configuration: str
    overrides: list[str]


def encode_result(result: RunResult) -> bytes:
    """Return the result as indented JSON, ending in a newline; NaN becomes null."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
