import hashlib
import importlib
import inspect
import re
from importlib.metadata import version
from typing import Any

import pytest

from streams.engine.hooks import HOOKS, VERSIONS, Hook

METHODS = [hook for hook in HOOKS if hook.digest is not None]
ATTRIBUTES = [hook for hook in HOOKS if hook.digest is None]


def owner_of(hook: Hook) -> type[Any]:
    module, _, name = hook.owner.partition(":")
    owner: type[Any] = getattr(importlib.import_module(module), name)
    return owner


def identify(hook: Hook) -> str:
    return f"{hook.owner.rpartition(':')[2]}.{hook.name}"


@pytest.mark.parametrize("distribution", VERSIONS)
def test_the_version_that_was_read_is_installed(distribution: str) -> None:
    assert version(distribution) == VERSIONS[distribution]


@pytest.mark.parametrize("hook", METHODS, ids=identify)
def test_method_is_as_it_was_read(hook: Hook) -> None:
    method = inspect.getattr_static(owner_of(hook), hook.name)
    # mode turns background tasks into objects that carry their function.
    source = inspect.getsource(inspect.unwrap(getattr(method, "fun", method)))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == hook.digest, hook.use


@pytest.mark.parametrize("hook", ATTRIBUTES, ids=identify)
def test_attribute_is_set_where_it_was_seen(hook: Hook) -> None:
    assigned = rf"(?m)^\s+(self\.)?{hook.name}(: [^=\n]+)?( = |$)|def {hook.name}\("
    assert re.search(assigned, inspect.getsource(owner_of(hook))), hook.use


def test_every_hook_is_listed_once() -> None:
    names = [(hook.owner, hook.name) for hook in HOOKS]
    assert len(set(names)) == len(names)
