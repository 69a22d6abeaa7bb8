"""What is a trained model on disk, and is it the one that was announced?

A bundle is a folder that is never changed once written:

    config.json             kind, versions, cut-off, metrics, settings, SHA-256 of every other file,
                            and the digest of all that
    items.json              item ids in the order of the item matrix
    weights.safetensors     weights and item matrix
    encoder.onnx            the serving graph (of the kinds that are served as one)
    optimizer.safetensors   what a warm start needs and serving does not (optional)

That one digest covers the whole. Files are read once, checked, and parsed from the bytes
that were checked; nothing is ever unpickled, so a bundle cannot execute code.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.errors import ModelError

FORMAT_VERSION: Final = 2

CONFIG: Final = "config.json"
ITEMS: Final = "items.json"
WEIGHTS: Final = "weights.safetensors"
ENCODER: Final = "encoder.onnx"
OPTIMIZER: Final = "optimizer.safetensors"
_REQUIRED: Final = frozenset({ITEMS, WEIGHTS})
_KNOWN: Final = _REQUIRED | {ENCODER, OPTIMIZER}
_SERVED_AS_GRAPH: Final = frozenset({"transformer"})
"""The kinds whose bundle is of no use without a graph."""

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


class BundleRefused(ModelError, ValueError):
    """A bundle is damaged, incomplete, of another version, or not the one announced.

    Nothing has been changed: the bundle in use stays in use.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleConfig:
    """What config.json says.

    Attributes:
        kind: which model this is, for example "transformer".
        created_ms: when training ended, as the trainer's caller says.
        cutoff_offset: the examples offset that the training data reached (exclusive).
        cutoff_ms: the newest event in the training data.
        metrics: figures of the training run and of the gate; None for one that is missing.
        settings: the model's own sizes, whatever its loader needs.
    """

    kind: str
    created_ms: int
    cutoff_offset: int
    cutoff_ms: int
    metrics: Mapping[str, float | None]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A folder whose content has been checked against its digest.

    Attributes:
        folder: where it lies.
        config: what config.json says.
        digest: SHA-256 of what config.json says, the SHA-256 of each other file included.
        item_ids: item id of each row of the item matrix that belongs to an item.
        file_digests: SHA-256 of each file by name.
    """

    folder: Path
    config: BundleConfig
    digest: str
    item_ids: Sequence[str]
    file_digests: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        """Of all its files together."""
        return sum((self.folder / name).stat().st_size for name in (CONFIG, *self.file_digests))

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            BundleRefused: the bundle has no such file, or it has changed since.
        """
        if name not in self.file_digests:
            raise BundleRefused(f"{self.folder}: the bundle has no file {name!r}")
        return _read_checked(self.folder, name, self.file_digests[name])

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a safetensors file.

        Raises:
            BundleRefused: as `read`, or the file is no safetensors file.
        """
        try:
            return load(self.read(name))
        except SafetensorError as error:
            raise BundleRefused(f"{self.folder / name}: not a safetensors file") from error


def write_bundle(
    folder: Path,
    *,
    config: BundleConfig,
    item_ids: Sequence[str],
    weights: Arrays,
    graph: bytes | None = None,
    optimizer: Arrays | None = None,
) -> Bundle:
    """Write a bundle under a name that does not exist yet, and return it as a reader sees it.

    Atomic: the folder appears complete or not at all.

    Raises:
        FileExistsError: `folder` exists; bundles are never overwritten.
        ValueError: no `graph`, but bundles of this kind are served as one.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists; a bundle is never overwritten, choose a new name")
    contents = {
        ITEMS: json.dumps(list(item_ids), ensure_ascii=False).encode(),
        WEIGHTS: _tensor_bytes(weights),
    }
    if graph is not None:
        contents[ENCODER] = graph
    elif config.kind in _SERVED_AS_GRAPH:
        raise ValueError(f"a bundle of kind {config.kind!r} is served as a graph, none was given")
    if optimizer is not None:
        contents[OPTIMIZER] = _tensor_bytes(optimizer)
    body = {
        "format_version": FORMAT_VERSION,
        "kind": config.kind,
        "created_ms": config.created_ms,
        "cutoff_offset": config.cutoff_offset,
        "cutoff_ms": config.cutoff_ms,
        "metrics": dict(config.metrics),
        "settings": dict(config.settings),
        "files": {name: _sha256(content) for name, content in contents.items()},
    }
    digest = _sha256(_canonical(body))
    contents[CONFIG] = _canonical({**body, "digest": digest})
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.mkdir()
        for name, content in contents.items():
            _write_synced(partial / name, content)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load_bundle(folder, expected_digest=digest)


def load_bundle(folder: Path, *, expected_digest: str | None = None) -> Bundle:
    """Check a bundle's every file and return it.

    Args:
        folder: the bundle.
        expected_digest: what the announcement names; None accepts any intact bundle.

    Raises:
        BundleRefused: a file is missing, damaged or not a plain file in this folder; the version is
            another; or the bundle is not the expected one.
    """
    config, digest, file_digests = _parse_config(folder, _read_plain(folder, CONFIG))
    if expected_digest is not None and digest != expected_digest:
        raise BundleRefused(
            f"{folder}: digest {digest} found, {expected_digest} expected; it was damaged or "
            "replaced: announce another bundle"
        )
    contents = {
        name: _read_checked(folder, name, expected) for name, expected in file_digests.items()
    }
    return Bundle(
        folder=folder,
        config=config,
        digest=digest,
        item_ids=tuple(_parse_items(folder, contents[ITEMS])),
        file_digests=file_digests,
    )


def _parse_config(folder: Path, raw: bytes) -> tuple[BundleConfig, str, dict[str, str]]:
    try:
        body = json.loads(raw)
        version = body["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(f"{folder / CONFIG}: not a bundle's configuration") from error
    if version != FORMAT_VERSION:
        raise BundleRefused(
            f"{folder}: format version {version!r} found, {FORMAT_VERSION} expected; train a new "
            "bundle or run the version of Headrace that wrote it"
        )
    digest = str(body.pop("digest", None))
    if digest != _sha256(_canonical(body)) or raw != _canonical({**body, "digest": digest}):
        raise BundleRefused(f"{folder / CONFIG}: not as it was written; it was edited or damaged")
    try:
        file_digests = {str(name): str(value) for name, value in body["files"].items()}
        config = BundleConfig(
            kind=body["kind"],
            created_ms=body["created_ms"],
            cutoff_offset=body["cutoff_offset"],
            cutoff_ms=body["cutoff_ms"],
            metrics=body["metrics"],
            settings=body["settings"],
        )
    except (KeyError, AttributeError) as error:
        raise BundleRefused(f"{folder / CONFIG}: incomplete configuration ({error})") from error
    # Only names of ours are ever joined to the folder, so none can lead out of it.
    unknown = sorted(set(file_digests) - _KNOWN)
    required = _REQUIRED | ({ENCODER} if config.kind in _SERVED_AS_GRAPH else frozenset())
    missing = sorted(required - set(file_digests))
    if unknown or missing:
        raise BundleRefused(f"{folder}: files {unknown} unknown, {missing} missing in {CONFIG}")
    return config, digest, file_digests


def _parse_items(folder: Path, raw: bytes) -> list[str]:
    items = json.loads(raw)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise BundleRefused(f"{folder / ITEMS}: a list of item ids was expected")
    if len(set(items)) != len(items):
        raise BundleRefused(f"{folder / ITEMS}: item ids appear twice")
    return items


def _read_checked(folder: Path, name: str, expected: str) -> bytes:
    content = _read_plain(folder, name)
    if _sha256(content) != expected:
        raise BundleRefused(f"{folder / name}: the content does not match its digest")
    return content


def _read_plain(folder: Path, name: str) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise BundleRefused(f"{path}: missing, or not a plain file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleRefused(f"{path}: not readable ({error})") from error


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _tensor_bytes(arrays: Arrays) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _canonical(body: Mapping[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
