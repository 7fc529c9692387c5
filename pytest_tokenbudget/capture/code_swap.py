"""Lets a function run through a wrapper, whoever holds the function.

Graphs, registries and tool decorators take a function when its module is imported. Who replaces its name afterwards
replaces what nobody calls. So the function object stays, and its code is replaced: by code with the same arguments that
calls the wrapper. The wrapper gets a copy of the function with the code as it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

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
