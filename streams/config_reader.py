"""How do plain values become frozen configs, with every fault reported at once?

`read_section` fills a dataclass from a mapping by its annotations. It understands numbers, strings,
booleans, enums, literals, tuples, mappings, optional values, secrets and nested dataclasses, and
collects a `Problem` for each key that does not exist and each value that does not fit, so that one
start reports them all.
"""

from __future__ import annotations

import difflib
import enum
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeGuard, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Section = TypeVar("_Section", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Secret:
    """A string that is never printed; `reveal` is the only way to it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """Return the string itself."""
        return self._value


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One bad key or value: where it stands, what was found there, what was expected."""

    key: str
    found: str
    expected: str

    @property
    def line(self) -> str:
        """The problem in one line."""
        return f"{self.key}: found {self.found}, expected {self.expected}"


def read_section(
    kind: type[_Section], values: object, key: str, problems: list[Problem]
) -> _Section | None:
    """Return a `kind` made of `values`, over its own defaults.

    Args:
        kind: A dataclass.
        values: What stands in the file; anything but a mapping is a problem.
        key: The dotted path of the section, for messages.
        problems: Receives what is wrong.

    Returns:
        None where problems were added.
    """
    num_before = len(problems)
    if not isinstance(values, Mapping):
        problems.append(Problem(key=key, found=_shown(values), expected="a table of settings"))
        return None
    hints = typing.get_type_hints(kind)
    known = {entry.name: _default_of(entry) for entry in fields(kind) if entry.init}
    problems += [
        _unknown_key(_join(key, name), name, known) for name in values if name not in known
    ]
    arguments = {}
    for name, default in known.items():
        if name in values:
            arguments[name] = _read(hints[name], values[name], _join(key, name), problems, default)
        elif default is MISSING:
            problems.append(
                Problem(key=_join(key, name), found="nothing", expected=describe(hints[name]))
            )
    return _build(kind, arguments, key, problems) if len(problems) == num_before else None


def describe(kind: object) -> str:
    """Return what a value of this annotation looks like, in words.

    >>> describe(tuple[str, ...])
    'a list, each a string'
    >>> describe(Literal["auto", "click"])
    "one of 'auto', 'click'"
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is tuple:
        return f"a list, each {describe(arguments[0])}"
    if origin in (dict, Mapping):
        return f"a table, each entry {describe(arguments[1])}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe(option) for option in arguments if option is not type(None))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(repr(member.value) for member in kind)
    return _WORDS.get(kind, "a table of settings" if is_dataclass(kind) else str(kind))


def _read(
    kind: object, value: object, key: str, problems: list[Problem], default: object
) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if _is_section(kind):
        over = {**_fields_of(default), **value} if isinstance(value, Mapping) else value
        return value if isinstance(value, kind) else read_section(kind, over, key, problems)
    if origin in (types.UnionType, typing.Union):
        inner = next(option for option in arguments if option is not type(None))
        return _read(inner, value, key, problems, default)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(
            _read(arguments[0], entry, f"{key}[{index}]", problems, MISSING)
            for index, entry in enumerate(value)
        )
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return _read_mapping(arguments[1], value, key, problems, default)
    return _read_scalar(kind, value, key, problems)


def _read_mapping(
    kind: object, values: Mapping[Any, object], key: str, problems: list[Problem], default: object
) -> dict[str, object]:
    """Entries of a table stand over the default's entries of the same name."""
    defaults = default if isinstance(default, Mapping) else {}
    merged = dict(defaults)
    for name, value in values.items():
        entry = value
        if _is_section(kind) and isinstance(value, Mapping):
            entry = {**value, **_name_field(kind, name)}
        merged[str(name)] = _read(
            kind, entry, _join(key, name), problems, defaults.get(name, MISSING)
        )
    return merged


def _read_scalar(kind: object, value: object, key: str, problems: list[Problem]) -> object:
    converted = _convert(kind, value)
    if converted is None:
        found = "a secret" if kind is Secret else _shown(value)
        problems.append(Problem(key=key, found=found, expected=describe(kind)))
    return converted


def _convert(kind: object, value: object) -> object:
    if typing.get_origin(kind) is Literal:
        return value if value in typing.get_args(kind) else None
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next((member for member in kind if member.value == value), None)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if isinstance(kind, type) and type(value) is kind else None


def _build(
    kind: type[_Section], arguments: Mapping[str, Any], key: str, problems: list[Problem]
) -> _Section | None:
    """A component refuses values that only it can judge; its message becomes a problem."""
    try:
        return kind(**arguments)
    except ValueError as error:
        problems.append(
            Problem(key=key or "configuration", found="a bad value", expected=str(error))
        )
        return None


def _is_section(kind: object) -> TypeGuard[type[DataclassInstance]]:
    return isinstance(kind, type) and is_dataclass(kind) and kind is not Secret


def _default_of(entry: Field[object]) -> object:
    return entry.default_factory() if entry.default_factory is not MISSING else entry.default


def _fields_of(section: object) -> dict[str, object]:
    if not is_dataclass(section):
        return {}
    return {entry.name: getattr(section, entry.name) for entry in fields(section) if entry.init}


def _name_field(kind: type[DataclassInstance], name: object) -> dict[str, object]:
    """An entry that carries its own name takes it from the table's key."""
    return {"name": str(name)} if any(entry.name == "name" for entry in fields(kind)) else {}


def _unknown_key(key: str, name: object, known: Mapping[str, object]) -> Problem:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    expected = f"{close[0]!r}?" if close else "one of " + ", ".join(sorted(known))
    return Problem(key=key, found="an unknown key", expected=expected)


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


_WORDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    Secret: "a string",
}
