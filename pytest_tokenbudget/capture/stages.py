"""Stages: named parts of an agent's run, opened in code.

``stage`` may stay in the application: outside a marked test it does nothing and costs less than a microsecond, and this
module imports nothing that is not imported anyway.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from pytest_tokenbudget.errors import TokenBudgetError

_P = ParamSpec("_P")
_R = TypeVar("_R")

_path: ContextVar[str] = ContextVar("tokenbudget_stage", default="")


class SpanSink(Protocol):
    """Who is told when stages open and close."""

    def open_stage(self, key: int, path: str) -> None:
        """A stage was opened."""

    def close_stage(self, key: int) -> None:
        """It was closed."""


# The one thing that is global: the code under test cannot be handed a recorder, and threads that it starts do not carry
# its context. The innermost watch is the last; watches add and remove themselves.
_sinks: list[SpanSink] = []


def add_sink(sink: SpanSink) -> None:
    """Stages are reported to this sink from now on."""
    _sinks.append(sink)


def remove_sink(sink: SpanSink) -> None:
    """Stages are no longer reported to this sink."""
    _sinks.remove(sink)


def current_path() -> str:
    """Path of the innermost open stage, ``"worker/finalize"``; ``""`` where none is open."""
    return _path.get()


class stage:  # noqa: N801  # used as a context manager and decorator, like contextlib's own
    """A named part of an agent's run: a context manager and a decorator.

    As a decorator it takes plain functions, coroutine functions, generators and async generators; of the latter two it
    is open while their own code runs, not while their consumer's does. It follows tasks, ``asyncio.to_thread`` and
    anyio's threads. Stages nest: inside ``worker``, ``stage("finalize")`` is ``worker/finalize``.

    Args:
        name: Its name; ``"a/b"`` opens ``b`` within ``a``.

    Raises:
        TokenBudgetError: If the name is empty, or has an empty part, a control character or a comma or star.

    Example::

        with stage("worker"):
            answer = agent.run(question)
    """

    __slots__ = ("_entered", "name")

    def __init__(self, name: str) -> None:
        if _sinks:
            check_name(name)
        self.name = name
        self._entered: list[tuple[Token[str], tuple[SpanSink, ...]]] | None = None

    def __enter__(self) -> stage:
        if _sinks:
            above = _path.get()
            path = f"{above}/{self.name}" if above else self.name
            token, sinks = _path.set(path), tuple(_sinks)
            if self._entered is None:
                self._entered = []
            self._entered.append((token, sinks))
            for sink in sinks:
                sink.open_stage(id(token), path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._entered:
            return
        token, sinks = self._entered.pop()
        for sink in sinks:
            sink.close_stage(id(token))
        try:
            _path.reset(token)
        except ValueError:
            # It is closed in another context than it was opened in (a fixture's teardown): that context ends anyway.
            pass

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        name = self.name
        if inspect.isasyncgenfunction(function):
            return cast(Callable[_P, _R], _async_generator(function, name))
        if inspect.iscoroutinefunction(function):
            return cast(Callable[_P, _R], _coroutine(function, name))
        if inspect.isgeneratorfunction(function):
            return cast(Callable[_P, _R], _generator(function, name))

        @wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with stage(name):
                return function(*args, **kwargs)

        return call


def check_name(name: object) -> None:
    """Check the name of a stage.

    Raises:
        TokenBudgetError: If it is none.
    """
    text = name if isinstance(name, str) else ""
    wrong = not text or any(not part.strip() for part in text.split("/"))
    if wrong or not text.isprintable() or any(sign in text for sign in ",*"):
        raise TokenBudgetError(f"{name!r} is no name of a stage", remedy='a plain name such as stage("worker")')


def _coroutine(function: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        with stage(name):
            return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Generator[Any, Any, Any]], name: str) -> Callable[..., Generator[Any, Any, Any]]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner = function(*args, **kwargs)
        step: Callable[[], Any] = lambda: next(inner)  # noqa: E731  # rebound for each resume
        while True:
            try:
                with stage(name):
                    value = step()
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield value
            except GeneratorExit:
                with stage(name):
                    inner.close()
                raise
            except BaseException as error:
                thrown = error
                step = lambda: inner.throw(thrown)  # noqa: B023, E731  # called before the loop goes on
            else:
                step = lambda: inner.send(sent)  # noqa: B023, E731  # called before the loop goes on

    return call


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], name: str
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = function(*args, **kwargs)
        step: Callable[[], Awaitable[Any]] = lambda: anext(inner)  # noqa: E731  # rebound for each resume
        while True:
            try:
                with stage(name):
                    value = await step()
            except StopAsyncIteration:
                return
            try:
                sent = yield value
            except GeneratorExit:
                with stage(name):
                    await inner.aclose()
                raise
            except BaseException as error:
                thrown = error
                step = lambda: inner.athrow(thrown)  # noqa: B023, E731  # called before the loop goes on
            else:
                step = lambda: inner.asend(sent)  # noqa: B023, E731  # called before the loop goes on

    return call
