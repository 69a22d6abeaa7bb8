"""How is a history kept in a file, and is a file what was written?"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.errors import ModelError
from models.history import History
from models.side_features import SideFeatures

_FORMAT: Final = "headrace-history/2"


class HistoryRefused(ModelError, ValueError):
    """A saved history is damaged or of another format; delete it and read the log again."""


def save_history(history: History, path: Path) -> None:
    """Write everything but attributes to one safetensors file, atomically."""
    arrays, facts = history.arrays(), json.dumps(history.facts())
    header = {"format": _FORMAT, "state": facts, "sha256": _digest(facts, arrays)}
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(save(arrays, header))
    partial.replace(path)


def load_history(path: Path, *, side: SideFeatures | None = None) -> History:
    """Read a saved history.

    Args:
        path: of the file.
        side: as `History.restore` takes it.

    Raises:
        HistoryRefused: the file is damaged or of another format.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise HistoryRefused(f"{path}: not a readable history ({error})") from error
    if header.get("format") != _FORMAT:
        found = header.get("format")
        raise HistoryRefused(f"{path}: format {found!r} found, {_FORMAT!r} expected")
    if header.get("sha256") != _digest(header.get("state", ""), arrays):
        raise HistoryRefused(f"{path}: the content does not match its digest; delete the file")
    try:
        return History.restore(json.loads(header["state"]), arrays, side=side)
    except (KeyError, TypeError) as error:
        raise HistoryRefused(f"{path}: of another version ({error!r})") from error


def _digest(state: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256(state.encode())
    for name, array in sorted(arrays.items()):
        digest.update(str((name, array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
