"""``function:`` rules: a function or method of the application opens its stage, for the time of a watch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from inspect import getattr_static
from types import BuiltinFunctionType, FunctionType, ModuleType, TracebackType
from typing import Any

from pytest_tokenbudget.capture.code_swap import run_through
from pytest_tokenbudget.capture.import_hook import ImportHook
from pytest_tokenbudget.capture.stage import in_stages
from pytest_tokenbudget.capture.stage_rules import StageRule

_MISSING = object()


class FunctionStages:
    """Lets the functions that rules name open their stage, as soon as their modules are imported, and puts them back.

    Nothing is imported for it. A function stays the object that it is, so that graphs and registries that took it when
    it was imported open its stage too. What is no function of the application's own, or is inherited, is replaced by
    name. What has no effect is left as it is, and said in :meth:`problems`.

    Args:
        rules: All rules; those of other kinds are passed over.
    """

    def __init__(self, rules: Sequence[StageRule]) -> None:
        self._waiting = [rule for rule in rules if rule.kind == "function"]
        self._by_name: list[StageRule] = []
        self._undo: list[Callable[[], object]] = []
        self._imports = ImportHook(self._wants, lambda name: self._place())

    def __enter__(self) -> FunctionStages:
        self._imports.start()
        self._place()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._imports.stop()
        while self._undo:
            self._undo.pop()()

    def _wants(self, module: str) -> bool:
        """Whether a rule may name something in a module with this name."""
        return any(rule.pattern.startswith(f"{module}.") for rule in self._waiting)

    def _place(self) -> None:
        """Put in their stages what can be found now."""
        waiting, self._waiting = self._waiting, []
        for rule in waiting:
            found = _find(rule.pattern)
            if isinstance(found, _Found):
                self._put_in_stage(found, rule)
            else:
                self._waiting.append(rule)

    def _put_in_stage(self, found: _Found, rule: StageRule) -> None:
        names = tuple(rule.stage.split("/"))
        function = getattr(found.kept, "__func__", found.kept)
        if found.own and isinstance(function, FunctionType):
            put_back = run_through(function, lambda inner: in_stages(inner, names))
            if put_back is not None:
                self._undo.append(put_back)
                return
        self._by_name.append(rule)
        self._undo.append(_replace(found, in_stages(found.kept, names)))

    def problems(self, opened: Collection[str] = ()) -> tuple[str, ...]:
        """Say which rules had no effect, though their module is imported, or cannot be.

        Args:
            opened: Paths of the stages that were opened.
        """
        pairs = ((rule, _find(rule.pattern) or _missing_module(rule.pattern)) for rule in self._waiting)
        without = [
            f"tokenbudget_stages: {rule.stage} = function:{rule.pattern} has no effect: {found}"
            for rule, found in pairs
            if isinstance(found, str)
        ]
        never = [
            f"tokenbudget_stages: {rule.stage} = function:{rule.pattern} was never entered: if it did run, something"
            f' holds it since import; put @stage("{rule.stage.rpartition("/")[2]}") on it'
            for rule in self._by_name
            if not any(path == rule.stage or path.endswith(f"/{rule.stage}") for path in opened)
        ]
        return (*without, *never)


@dataclass(frozen=True, slots=True)
class _Found:
    """A function as its holder keeps it, by the module or class that holds it and its name there.

    Attributes:
        holder: The module or class.
        name: The name.
        kept: A function, a static method or a class method.
        own: Whether it is kept by this holder itself, as opposed to a class above it.
    """

    holder: ModuleType | type
    name: str
    kept: Any
    own: bool


def _find(dotted: str) -> _Found | str | None:
    """Find a function; or say what is wrong with its name; ``None`` where its module is not imported yet."""
    parts = dotted.split(".")
    cut = next((cut for cut in range(len(parts) - 1, 0, -1) if ".".join(parts[:cut]) in sys.modules), 0)
    holder: Any = sys.modules.get(".".join(parts[:cut]))
    if holder is None:
        return None
    for place, part in enumerate(parts[cut:], start=cut):
        kept = getattr_static(holder, part, _MISSING)
        if kept is _MISSING:
            may_come = hasattr(holder, "__path__") and place < len(parts) - 1
            return None if may_come else f"{'.'.join(parts[:place])} has no {part!r}"
        if place < len(parts) - 1:
            holder = kept
            if not isinstance(holder, ModuleType | type):
                return f"{'.'.join(parts[: place + 1])} is neither a module nor a class"
    # An object that can be called has more to it than its call: a wrapper would hide that from the agent.
    if isinstance(kept, FunctionType | BuiltinFunctionType | staticmethod | classmethod):
        return _Found(holder, parts[-1], kept, parts[-1] in vars(holder))
    return f"it is no function but {type(kept).__name__!r}; name the method that does the work"


def _missing_module(dotted: str) -> str | None:
    """Say which module of a name does not exist; ``None`` where they do, or where it would have to be imported to know."""
    parts = dotted.split(".")
    for count in range(1, len(parts)):
        name, above = ".".join(parts[:count]), ".".join(parts[: count - 1])
        if name in sys.modules:
            continue
        if above and not hasattr(sys.modules.get(above), "__path__"):
            return None
        try:
            exists = find_spec(name) is not None
        except (ImportError, ValueError):
            exists = False
        if not exists:
            return f"{above} has no {parts[count - 1]!r}" if above else f"there is no module {name!r}"
        return None
    return None


def _replace(found: _Found, replacement: Any) -> Callable[[], None]:
    """Replace a function by name, and give a function that puts it back."""
    holder, name = found.holder, found.name
    before = vars(holder).get(name, _MISSING)
    setattr(holder, name, replacement)

    def put_back() -> None:
        if vars(holder).get(name) is not replacement:
            return
        if before is _MISSING:
            delattr(holder, name)
        else:
            setattr(holder, name, before)

    return put_back
