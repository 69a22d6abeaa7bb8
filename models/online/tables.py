"""How does learned state travel: numbers in named columns, as snapshots and as deltas?

Everything that the learner learns lives in cells of a `TableSet`. A snapshot holds all of it and
a delta the cells that changed since the last one, as absolute values, so that applying a delta
twice, or one that begins before the replica's own offset, changes nothing.

Guarantees: equal contents give equal snapshot bytes; a replica that has applied every delta up to
offset X is byte-identical to the learner at X; a payload is checked in full before any cell moves.
Not promised: that a *learning* method may run on a replica (its cells would not be published).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from models.errors import SnapshotRefused
from models.online.columns import Column, ColumnSpec, Reader, TextColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

FORMAT_VERSION = 1
_MAGIC = b"HRT"
_PREFIX = struct.Struct("<3sB1s16sI")
_SNAPSHOT, _DELTA = b"S", b"D"


class Table:
    """Named columns that share their rows."""

    __slots__ = ("_meaning", "columns", "name", "num_rows", "texts")

    def __init__(
        self,
        name: str,
        columns: Iterable[ColumnSpec],
        texts: Iterable[str] = (),
        *,
        meaning: object = "",
    ) -> None:
        """Starts without rows.

        Args:
            name: Of the table, unique in its set.
            columns: Of numbers.
            texts: Names of columns of strings.
            meaning: Whatever the rows' meaning depends on beside the columns, with a `repr` that is
                equal for equal meanings: payloads of another meaning are refused.
        """
        self.name = name
        self._meaning = repr(meaning)
        self.columns = {spec.name: Column(spec) for spec in columns}
        self.texts = {text: TextColumn(text) for text in texts}
        self.num_rows = 0

    def in_order(self) -> list[Column | TextColumn]:
        """All columns, in the order in which payloads hold them."""
        return [*self.columns.values(), *self.texts.values()]

    def grow(self, num_rows: int) -> None:
        """Makes sure that `num_rows` rows exist; never shrinks."""
        if num_rows > self.num_rows:
            for column in self.in_order():
                column.grow(num_rows)
            self.num_rows = num_rows

    def clear_rows(self, rows: NDArray[np.integer]) -> None:
        """Gives rows back as if nothing had been learned there."""
        for column in self.in_order():
            column.clear_rows(rows)

    def schema(self) -> list[object]:
        """What two sets must share for their payloads to be exchangeable."""
        numbers = [
            [c.spec.name, c.spec.dtype, c.spec.width, float(c.spec.fill)]
            for c in self.columns.values()
        ]
        return [self.name, numbers, list(self.texts), self._meaning]


class DeltaOutcome(Enum):
    """What a replica did with a delta."""

    APPLIED = "applied"
    STALE = "stale"
    """Ends at or before the replica's offset: nothing to do."""
    GAP = "gap"
    """Begins after the replica's offset: something is missing, load the base again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The cells that changed while the offsets `[from_offset, to_offset)` were learned."""

    from_offset: int
    to_offset: int
    payload: bytes


class TableSet:
    """All tables of the seconds clock, and the offset in `examples` that they stand for."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self.tables: Mapping[str, Table] = {table.name: table for table in tables}
        self.offset = 0
        self.generation = 0
        """Grows with every payload taken in, so that caches know when they are out of date."""
        self.identity: dict[str, str] = {}
        """Names what payloads must agree on beside the schema: topic id, feature layout, …"""
        self._published_offset = 0
        self._pending: Delta | None = None
        schema = json.dumps([table.schema() for table in self.tables.values()])
        self._schema = blake2b(schema.encode(), digest_size=8).hexdigest()

    def advance(self, to_offset: int) -> None:
        """Names the offset up to which (exclusive) everything has been learned."""
        if to_offset < self.offset:
            raise ValueError(
                f"found offset {to_offset}, expected at least {self.offset}: learning never "
                "goes back; restore a snapshot instead"
            )
        self.offset = to_offset

    def snapshot(self) -> bytes:
        """Everything, in canonical bytes; leaves the tables and the next delta as they are."""
        return self._encode(_SNAPSHOT, self.offset)

    def digest(self) -> str:
        """Hexadecimal digest of the snapshot: equal for equal contents and offset."""
        return _PREFIX.unpack_from(self.snapshot())[3].hex()  # type: ignore[no-any-return]

    def take_delta(self) -> Delta:
        """The change since the last acknowledged delta (or base).

        The same delta is returned until `delta_acknowledged` was called, so that an append whose
        answer was lost can be repeated; learning may go on meanwhile.
        """
        if self._pending is None:
            self._pending = Delta(
                from_offset=self._published_offset,
                to_offset=self.offset,
                payload=self._encode(_DELTA, self._published_offset),
            )
            self._declare_published()
        return self._pending

    def delta_acknowledged(self) -> None:
        """Says that the delta last taken is where replicas will find it."""
        self._pending = None

    def restore(self, payload: bytes) -> None:
        """Becomes what the snapshot holds.

        Raises:
            SnapshotRefused: Nothing has changed.
        """
        header, body = self._open(payload, _SNAPSHOT)
        parts = self._unpack(header, body)
        for name, (num_rows, _) in header["tables"].items():
            table = self.tables[name]
            for column in table.in_order():
                column.reset(num_rows)
            table.num_rows = num_rows
        self._pending = None
        self._load(header, parts, all_of_it=True)
        self._declare_published()

    def apply_delta(self, payload: bytes) -> DeltaOutcome:
        """Moves a replica on to the delta's end, if the delta fits.

        Raises:
            SnapshotRefused: Nothing has changed.
        """
        header, body = self._open(payload, _DELTA)
        if header["to"] <= self.offset:
            return DeltaOutcome.STALE
        if header["from"] > self.offset:
            return DeltaOutcome.GAP
        parts = self._unpack(header, body)
        for name, (num_rows, _) in header["tables"].items():
            self.tables[name].grow(num_rows)
        self._load(header, parts, all_of_it=False)
        self._published_offset = self.offset
        return DeltaOutcome.APPLIED

    def _declare_published(self) -> None:
        for table in self.tables.values():
            for column in table.in_order():
                column.forget_changes()
        self._published_offset = self.offset

    def _encode(self, kind: bytes, from_offset: int) -> bytes:
        parts: list[bytes] = []
        tables: dict[str, tuple[int, list[int]]] = {}
        for table in self.tables.values():
            counts = []
            for column in table.in_order():
                delta = kind == _DELTA
                cells = column.changed_cells() if delta else column.occupied_cells()
                parts += column.pack(cells)
                counts.append(len(cells))
            tables[table.name] = (table.num_rows, counts)
        header = {
            "schema": self._schema,
            "identity": dict(sorted(self.identity.items())),
            "from": from_offset,
            "to": self.offset,
            "tables": tables,
        }
        head = json.dumps(header, separators=(",", ":")).encode()
        content = b"".join([head, *parts])
        digest = _digest(kind, len(head), content)
        return _PREFIX.pack(_MAGIC, FORMAT_VERSION, kind, digest, len(head)) + content

    def _open(self, payload: bytes, expected_kind: bytes) -> tuple[dict[str, Any], Reader]:
        if len(payload) < _PREFIX.size or payload[:3] != _MAGIC:
            raise SnapshotRefused(
                f"found {payload[:3]!r}, expected {_MAGIC!r}: not a snapshot or delta of ours"
            )
        _, version, kind, digest, head_size = _PREFIX.unpack_from(payload)
        if version != FORMAT_VERSION:
            raise SnapshotRefused(
                f"found format version {version}, expected {FORMAT_VERSION}; "
                "run the version that wrote it, or rebuild from the log"
            )
        content = payload[_PREFIX.size :]
        if kind != expected_kind or _digest(kind, head_size, content) != digest:
            raise SnapshotRefused(
                f"found kind {kind!r} and contents that do not match digest {digest.hex()}, "
                f"expected an undamaged {expected_kind!r}; fetch it again or rebuild from the log"
            )
        header = json.loads(content[:head_size])
        if header["schema"] != self._schema:
            raise SnapshotRefused(
                f"found tables of schema {header['schema']}, expected {self._schema}: written "
                "under another configuration; restore that one, or rebuild from the log"
            )
        for name, expected in self.identity.items():
            if header["identity"].get(name) != expected:
                raise SnapshotRefused(
                    f"found {name} {header['identity'].get(name)!r}, expected {expected!r}: "
                    "it belongs to another log or configuration; restore that one, or rebuild "
                    "from the log"
                )
        return header, Reader(content[head_size:])

    def _unpack(self, header: dict[str, Any], body: Reader) -> list[tuple[Any, Any, Any]]:
        parts = []
        for name, (num_rows, counts) in header["tables"].items():
            columns = self.tables[name].in_order()
            for column, count in zip(columns, counts, strict=True):
                parts.append((column, *column.unpack(body, count, num_rows)))
        return parts

    def _load(
        self, header: dict[str, Any], parts: list[tuple[Any, Any, Any]], *, all_of_it: bool
    ) -> None:
        for column, cells, values in parts:
            column.load(cells, values, all_of_it=all_of_it)
        self.offset = header["to"]
        self.generation += 1


def _digest(kind: bytes, head_size: int, content: bytes) -> bytes:
    return blake2b(b"%c%d:%b" % (kind, head_size, content), digest_size=16).digest()
