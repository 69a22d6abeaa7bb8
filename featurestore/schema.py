"""The published JSON Schemas: what the decoder accepts, for those who produce.

Generated from the types of `featurestore.events` and committed beside this module; a test holds
the files against the types. `python -m featurestore.schema` writes them anew.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from featurestore.events import CatalogueItem, Event

EVENT_SCHEMA_FILE: Final = "event.schema.json"
ITEM_SCHEMA_FILE: Final = "item.schema.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def event_schema() -> dict[str, Any]:
    """Return the schema of a value on the `events` topic."""
    return _schema(Event, "Headrace event")


def item_schema() -> dict[str, Any]:
    """Return the schema of a value on the `items` topic."""
    return _schema(CatalogueItem, "Headrace catalogue item")


def published_schema(name: str) -> dict[str, Any]:
    """Return a schema as it is published with this package."""
    text = files("featurestore").joinpath("schema", name).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def schema_text(schema: dict[str, Any]) -> str:
    """Return a schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema(described: object, title: str) -> dict[str, Any]:
    return {"$schema": _DIALECT, "title": title} | msgspec.json.schema(described)


def _write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, schema in (
        (EVENT_SCHEMA_FILE, event_schema()),
        (ITEM_SCHEMA_FILE, item_schema()),
    ):
        (folder / name).write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    _write(Path(__file__).parent / "schema")
