"""``function:`` rules: a function or method of the application opens its stage, for the time of a watch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from inspect import getattr_static
from typing import Any

from pytest_tokenbudget.capture.stage_rules import StageRule
from pytest_tokenbudget.capture.stages import stage


def wrap_functions(rules: Sequence[StageRule]) -> Callable[[], None]:
    """Wrap the functions that the rules name.

    A function that other modules have imported by name is replaced there, too. Modules that are not imported yet are
    imported: the rule names application code that the test is about to run.

    Args:
        rules: All rules; those of other kinds are passed over.

    Returns:
        A function that puts everything back. A name that does not exist is passed over: the gate on its stage says so.
    """
    restored: list[Callable[[], None]] = []
    for rule in rules:
        if rule.kind == "function":
            found = _find(rule.pattern)
            if found is not None:
                _wrap(*found, rule.stage, restored)

    def undo() -> None:
        while restored:
            restored.pop()()

    return undo


def _find(dotted: str) -> tuple[Any, str] | None:
    """The object that holds the function (a module or a class), and the function's name there."""
    from importlib import import_module

    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            holder: Any = import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:-1]:
            holder = getattr(holder, part, None)
        return (holder, parts[-1]) if hasattr(holder, parts[-1]) else None
    return None


def _wrap(holder: Any, name: str, stage_name: str, restored: list[Callable[[], None]]) -> None:
    kept = getattr_static(holder, name)
    if isinstance(kept, (staticmethod, classmethod)):
        replacement: Any = type(kept)(stage(stage_name)(kept.__func__))
    elif callable(kept):
        replacement = stage(stage_name)(kept)
    else:
        return
    inherited = isinstance(holder, type) and name not in vars(holder)
    setattr(holder, name, replacement)
    restored.append((lambda: delattr(holder, name)) if inherited else (lambda: setattr(holder, name, kept)))
    if not isinstance(holder, type):
        for module in list(sys.modules.values()):
            for alias, value in list(vars(module).items()) if hasattr(module, "__dict__") else ():
                if value is kept and module is not holder:
                    setattr(module, alias, replacement)
                    restored.append(_put_back(module, alias, kept))


def _put_back(module: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(module, name, value)
