"""``function:`` rules: a function or method of the application opens its stage, for the time of a watch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import getattr_static
from types import BuiltinFunctionType, FunctionType, ModuleType, TracebackType
from typing import Any

from pytest_tokenbudget.capture.import_hook import ImportHook
from pytest_tokenbudget.capture.stage import stage
from pytest_tokenbudget.capture.stage_rules import StageRule

_MISSING = object()


class FunctionStages:
    """Wraps the functions that rules name, as soon as their modules are imported, and puts them back.

    Nothing is imported for it. What cannot be wrapped is left as it is, and said in :meth:`problems`.

    Args:
        rules: All rules; those of other kinds are passed over.
    """

    def __init__(self, rules: Sequence[StageRule]) -> None:
        self._waiting = [rule for rule in rules if rule.kind == "function"]
        self._undo: list[Callable[[], None]] = []
        self._packages = frozenset(rule.pattern.partition(".")[0] for rule in self._waiting)
        self._replaced: list[tuple[Any, Any]] = []
        self._imports = ImportHook(self._wants, lambda name: self.wrap())

    def __enter__(self) -> FunctionStages:
        self._imports.start()
        self.wrap()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._imports.stop()
        self.put_back()

    def _wants(self, module: str) -> bool:
        """Whether a rule may name something in a module with this name."""
        return any(rule.pattern.startswith(f"{module}.") for rule in self._waiting)

    def wrap(self) -> None:
        """Wrap what can be found now."""
        waiting, self._waiting = self._waiting, []
        references: list[tuple[Any, Any]] = []
        for rule in waiting:
            found = _find(rule.pattern)
            if isinstance(found, _Found):
                references += self._wrap(found.holder, found.name, rule.stage)
            else:
                self._waiting.append(rule)
        _replace_references(references, near=self._packages)
        self._replaced += references

    def problems(self) -> tuple[str, ...]:
        """Which rules name nothing that can be in a stage, though their module is imported."""
        pairs = ((rule, _find(rule.pattern)) for rule in self._waiting)
        return tuple(
            f"tokenbudget_stages: {rule.stage} = function:{rule.pattern} has no effect: {found}"
            for rule, found in pairs
            if isinstance(found, str)
        )

    def _wrap(self, holder: Any, name: str, path: str) -> list[tuple[Any, Any]]:
        """Wrap one; gives the function and its wrapper where other modules may hold it, too."""
        kept = getattr_static(holder, name)
        replacement = kept
        for part in reversed(path.split("/")):
            replacement = stage(part)(replacement)
        before = vars(holder).get(name, _MISSING)
        setattr(holder, name, replacement)

        def put_back() -> None:
            if vars(holder).get(name) is not replacement:
                return
            if before is _MISSING:
                delattr(holder, name)
            else:
                setattr(holder, name, before)

        self._undo.append(put_back)
        return [(kept, replacement)] if isinstance(holder, ModuleType) else []

    def put_back(self) -> None:
        """Put everything back, also in modules that imported a wrapped function meanwhile."""
        while self._undo:
            self._undo.pop()()
        _replace_references([(wrapper, function) for function, wrapper in self._replaced], near=self._packages)
        self._replaced.clear()


@dataclass(frozen=True, slots=True)
class _Found:
    """A function, by the module or class that holds it and its name there."""

    holder: ModuleType | type
    name: str


def _find(dotted: str) -> _Found | str | None:
    """Where a function is; what is wrong with its name; ``None`` where its module is not imported yet."""
    parts = dotted.split(".")
    cut = next((cut for cut in range(len(parts) - 1, 0, -1) if ".".join(parts[:cut]) in sys.modules), 0)
    holder: Any = sys.modules.get(".".join(parts[:cut]))
    if holder is None:
        return None
    for place, part in enumerate(parts[cut:], start=cut):
        kept = getattr_static(holder, part, _MISSING)
        if kept is _MISSING:
            return None if hasattr(holder, "__path__") else f"{'.'.join(parts[:place])} has no {part!r}"
        if place < len(parts) - 1:
            holder = kept
            if not isinstance(holder, ModuleType | type):
                return f"{'.'.join(parts[: place + 1])} is neither a module nor a class"
    # An object that can be called has more to it than its call: a wrapper would hide that from the agent.
    if isinstance(kept, FunctionType | BuiltinFunctionType | staticmethod | classmethod):
        return _Found(holder, parts[-1])
    return f"it is no function but {type(kept).__name__!r}; name the method that does the work"


def _replace_references(pairs: Sequence[tuple[Any, Any]], *, near: frozenset[str]) -> None:
    """Replace functions in the namespaces of modules that imported them by name.

    Args:
        pairs: Each function and what takes its place.
        near: Top-level packages of the application, which are looked at wherever they are installed.
    """
    if not pairs:
        return
    replacements = {id(old): new for old, new in pairs}
    for name, module in list(sys.modules.items()):
        if not _may_hold(name, module, near):
            continue
        for alias, value in list(getattr(module, "__dict__", {}).items()):
            new = replacements.get(id(value))
            if new is not None:
                setattr(module, alias, new)


def _may_hold(name: str, module: ModuleType, near: frozenset[str]) -> bool:
    """Whether a module may have imported the application: the standard library and installed packages do not."""
    package = name.partition(".")[0]
    if package in near or package == "__main__":
        return True
    file = getattr(module, "__file__", None) or ""
    return package not in sys.stdlib_module_names and "site-packages" not in file and "dist-packages" not in file
