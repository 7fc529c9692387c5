"""``function:`` rules: a function or method of the application opens its stage, for the time of a watch.

Graphs, registries and tool decorators take a function when its module is imported. Who replaces its name afterwards
replaces what nobody calls. So the function object stays, and its code is replaced: by code with the same arguments that
calls the wrapper. The wrapper gets a copy of the function with the code as it was.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from inspect import getattr_static
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType, TracebackType
from typing import Any

from pytest_tokenbudget.capture.patching import ImportHook
from pytest_tokenbudget.capture.stage import in_stages
from pytest_tokenbudget.capture.stage_rules import StageRule

# The placeholder is a constant of the code that is compiled, and the wrapper takes its place there.
_PLACEHOLDER = "tokenbudget: the wrapper stands here"
_CALL = f"{_PLACEHOLDER!r}.__call__({{given}})"
_BODIES = {
    "plain": f"return {_CALL}",
    "coroutine": f"return await {_CALL}",
    "generator": f"return (yield from {_CALL})",
    # What ``yield from`` does, which there is not for asynchronous generators.
    "async generator": f"""
        tokenbudget_inner = {_CALL}
        tokenbudget_resume, tokenbudget_value = tokenbudget_inner.asend, None
        while True:
            try:
                tokenbudget_item = await tokenbudget_resume(tokenbudget_value)
            except StopAsyncIteration:
                return
            try:
                tokenbudget_resume, tokenbudget_value = tokenbudget_inner.asend, (yield tokenbudget_item)
            except GeneratorExit:
                await tokenbudget_inner.aclose()
                raise
            except BaseException as tokenbudget_error:
                tokenbudget_resume, tokenbudget_value = tokenbudget_inner.athrow, tokenbudget_error""",
}
_MODULE = """
def tokenbudget_make({cells}):
    {define} tokenbudget_swapped({taken}):
        if 0:
            ({cells})
        {body}
"""


def run_through(
    function: FunctionType, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], bool] | None:
    """Let a function run through a wrapper.

    Args:
        function: The function. It stays the same object, with the same arguments, defaults and attributes.
        wrap: Makes the wrapper from a function that does what this one did; of the same kind (coroutine function, ...).

    Returns:
        A function that puts the code back, and says whether it could; ``None`` where the code cannot be replaced.
    """
    before = function.__code__
    inner = FunctionType(before, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    inner.__kwdefaults__ = function.__kwdefaults__
    inner.__qualname__ = function.__qualname__
    inner.__dict__.update(function.__dict__)
    try:
        swapped = _code_that_calls(wrap(inner), before)
        function.__code__ = swapped
    except (SyntaxError, ValueError):  # arguments or cells with names that no text can spell
        return None

    def put_back() -> bool:
        if function.__code__ is not swapped:
            return False
        function.__code__ = before
        return True

    return put_back


def _code_that_calls(wrapper: Callable[..., Any], before: CodeType) -> CodeType:
    """Code that calls the wrapper, and looks from outside like the code that was there before."""
    taken, given = _arguments(before)
    kind = _kind(before)
    text = _MODULE.format(
        cells="".join(f"{name}, " for name in before.co_freevars),
        define="async def" if kind in ("coroutine", "async generator") else "def",
        taken=taken,
        body=_BODIES[kind].format(given=given),
    )
    made = _inner_code(
        _inner_code(compile(text, before.co_filename, "exec"), "tokenbudget_make"), "tokenbudget_swapped"
    )
    return made.replace(
        co_consts=tuple(wrapper if constant == _PLACEHOLDER else constant for constant in made.co_consts),
        co_flags=made.co_flags | before.co_flags & inspect.CO_ITERABLE_COROUTINE,
        co_name=before.co_name,
        co_qualname=before.co_qualname,
        co_firstlineno=before.co_firstlineno,
    )


def _inner_code(code: CodeType, name: str) -> CodeType:
    return next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name)


def _kind(code: CodeType) -> str:
    if code.co_flags & inspect.CO_ASYNC_GENERATOR:
        return "async generator"
    if code.co_flags & inspect.CO_COROUTINE:
        return "coroutine"
    return "generator" if code.co_flags & inspect.CO_GENERATOR else "plain"


def _arguments(code: CodeType) -> tuple[str, str]:
    """The arguments of a function as they are taken, and as they are handed on."""
    names = code.co_varnames
    places, by_name = names[: code.co_argcount], names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    rest = iter(names[code.co_argcount + code.co_kwonlyargcount :])
    taken, given = list(places), list(places)
    if code.co_posonlyargcount:
        taken.insert(code.co_posonlyargcount, "/")
    if code.co_flags & inspect.CO_VARARGS:
        further = f"*{next(rest)}"
        taken.append(further)
        given.append(further)
    elif by_name:
        taken.append("*")
    taken += by_name
    given += [f"{name}={name}" for name in by_name]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        further = f"**{next(rest)}"
        taken.append(further)
        given.append(further)
    return ", ".join(taken), ", ".join(given)


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
        """Tell whether a rule may name something in a module with this name."""
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
