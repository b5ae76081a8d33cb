"""Which tests start a process: found in the code of a test, of its fixtures and of the helpers that they call."""

import functools
import inspect
import subprocess
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

_checked: dict[int, object] = {}
"""Helpers that are known to start no process, by id: most tests use the same ones."""


def starts_process(test: pytest.Function) -> bool:
    """Return whether a test uses `subprocess`, by itself or by way of fixtures, helpers and parameters."""
    fixtures = [definitions[-1].func for definitions in test._fixtureinfo.name2fixturedefs.values()]
    parameters = test.callspec.params.values() if hasattr(test, "callspec") else ()
    pending: list[Any] = [test.function, *fixtures, *parameters]
    seen: dict[int, object] = {}
    while pending:
        value = pending.pop()
        value = inspect.unwrap(value) if callable(value) else value
        if value is subprocess or getattr(value, "__module__", None) == "subprocess":
            return True
        if id(value) in _checked or id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, FunctionType) and _is_followed(value):
            pending += _used(value)
        elif isinstance(value, type) and _is_followed(value):
            pending += vars(value).values()
        elif isinstance(value, list | tuple):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
    _checked.update(seen)
    return False


def _is_followed(value: FunctionType | type) -> bool:
    """Helpers of the tests, and what starts processes in the product; not all of the product."""
    module = inspect.getmodule(value)
    return module is not None and (value.__module__.startswith(("tests", "testing")) or hasattr(module, "subprocess"))


@functools.cache
def _used(function: FunctionType) -> list[Any]:
    """The globals that a function names, and what it names of modules among them."""
    names = set(_names(function.__code__))
    used = [function.__globals__[name] for name in names & function.__globals__.keys()]
    modules = [vars(module) for module in used if isinstance(module, ModuleType)]
    return used + [module[name] for module in modules for name in names & module.keys()]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
