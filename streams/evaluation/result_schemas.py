"""Which schema has each RESULT.json?

`python -m streams.evaluation.result_schemas` writes the files anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from streams.evaluation.off_policy_result import OffPolicyResult
from streams.evaluation.offline_result import OfflineResult
from streams.evaluation.result import Result
from streams.evaluation.temporal_result import TemporalResult
from streams.result_file import RunResult

_FOLDER: Final = Path(__file__).parents[1] / "schema"
_COMMANDS: Final[Mapping[type[RunResult], tuple[str, str]]] = {
    Result: ("result", "evaluate"),
    TemporalResult: ("temporal", "evaluate --protocol temporal"),
    OfflineResult: ("leave-one-out", "evaluate --protocol leave-one-out"),
    OffPolicyResult: ("off-policy", "off-policy"),
}
"""Name of the file, and what writes such a result."""
RESULTS: Final = tuple(_COMMANDS)


def result_schema(kind: type[RunResult]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a kind of result."""
    _, command = _COMMANDS[kind]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"RESULT.json of headrace {command}",
        **msgspec.json.schema(kind),
    }


def schema_text(kind: type[RunResult]) -> str:
    """Return the schema as it is committed."""
    return json.dumps(result_schema(kind), indent=2, ensure_ascii=False) + "\n"


def schema_path(kind: type[RunResult]) -> Path:
    """Return where it is committed."""
    name, _ = _COMMANDS[kind]
    return _FOLDER / f"{name}.schema.json"


if __name__ == "__main__":
    for one in RESULTS:
        schema_path(one).write_text(schema_text(one), encoding="utf-8")
