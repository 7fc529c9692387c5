"""Stages: named parts of an agent's run, opened in code.

``stage`` may stay in the application: outside a marked test it does nothing and costs less than a microsecond, and this
module imports nothing heavy.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache, wraps
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.errors import TokenBudgetError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator

    from pytest_tokenbudget.capture.recorder import OpenSpan

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

MAX_NAME_LENGTH = 100
# A slash nests, a star and a comma are syntax of metrics, an equals sign of the rules; the others spoil reports.
_FORBIDDEN = frozenset("/*,=|`\"'\\<>")


class _Open:
    """A stage while it is open.

    The contextvar of the context in which it was opened, and of the contexts that were copied from it (tasks, threads),
    points to it, or to a stage opened within it. ``owner`` is the function that it was opened for, if it was for one.
    """

    __slots__ = ("epoch", "owner", "parent", "path", "spans")

    def __init__(self, name: str, owner: object = None) -> None:
        parent = _innermost()
        self.owner = owner
        self.parent: _Open | None = parent
        self.path: str = f"{parent.path}/{name}" if parent else name
        self.epoch = ACTIVE.epoch
        self.spans: list[OpenSpan] = []
        self.resume()
        _current.set(self)

    def resume(self) -> None:
        """Its time runs."""
        self.spans = [span for recorder in ACTIVE.recorders if (span := recorder.open_span(self.path))]

    def suspend(self) -> None:
        """Its time stands still."""
        for span in self.spans:
            span.close()
        self.spans = []

    def close(self) -> None:
        """It is over; stages may be closed in another order than they were opened in, or in another context."""
        self.suspend()
        inner = _current.get()
        if inner is self:
            _current.set(self.parent)
            return
        while inner is not None:
            if inner.parent is self:
                inner.parent = self.parent
                return
            inner = inner.parent


_current: ContextVar[_Open | None] = ContextVar("tokenbudget_stage", default=None)


def _innermost() -> _Open | None:
    opened = _current.get()
    return opened if opened is not None and opened.epoch is ACTIVE.epoch else None


def current_path() -> str:
    """Path of the innermost open stage, ``"worker/finalize"``; ``""`` where none is open."""
    opened = _current.get()
    return opened.path if opened is not None and opened.epoch is ACTIVE.epoch else ""


class stage:
    """A named part of an agent's run: a context manager and a decorator.

    It is carried by context variables, so it follows tasks, ``asyncio.to_thread`` and anyio's threads. Stages nest:
    inside ``worker``, ``stage("finalize")`` is ``worker/finalize``. One object may be entered any number of times, also
    at the same time by several tasks or threads.

    As a decorator it takes plain functions, coroutine functions, generators and async generators; the latter two are in
    the stage while their own code runs, and their consumer is not. A ``with`` in the body of a generator cannot know
    when the consumer runs, and stays open: decorate the generator instead.

    Args:
        name: Its name; at most 100 printable characters without slash, star, comma, equals sign, bar or quotes.

    Raises:
        TokenBudgetError: If it is no such name.

    Example::

        with stage("worker"):
            answer = agent.run(question)
    """

    __slots__ = ("_opened", "name")

    def __init__(self, name: str) -> None:
        __tracebackhide__ = True  # a bad name is shown where it was written
        self.name = checked_name(name)
        self._opened: list[_Open] | None = None

    def __enter__(self) -> stage:
        if ACTIVE.recorders:
            opened = _Open(self.name)
            if self._opened is None:
                self._opened = []
            self._opened.append(opened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened:
            self._leave(self._opened)

    def _leave(self, mine: list[_Open]) -> None:
        """Close what this context opened last; a fixture's teardown may run in another context than its setup."""
        opened = _current.get()
        while opened is not None and opened not in mine:
            opened = opened.parent
        if opened is None:
            opened = mine[-1]
        mine.remove(opened)
        opened.close()

    def __call__(self, function: Decorated) -> Decorated:
        """Put a function into the stage; its type, and what ``inspect`` says of it, stay."""
        if isinstance(function, type) or not callable(getattr(function, "__func__", function)):
            raise TokenBudgetError(
                f"stage({self.name!r}) cannot decorate {function!r}", remedy="decorate a function or a method of it"
            )
        return in_stages(function, (self.name,))


def in_stages(function: Decorated, names: tuple[str, ...]) -> Decorated:
    """Let a function open stages, each within the one before, whenever it runs.

    Args:
        function: A function of any kind, a static method or a class method.
        names: Names of the stages. A function that calls itself stays in its own.
    """
    import inspect

    target: Any = function
    if isinstance(target, staticmethod | classmethod):
        return cast("Decorated", type(target)(in_stages(target.__func__, names)))
    if inspect.isasyncgenfunction(target):
        return cast("Decorated", _async_generator_function(target, names, target))
    if inspect.iscoroutinefunction(target):
        return cast("Decorated", _coroutine_function(target, names, target))
    if inspect.isgeneratorfunction(target):
        return cast("Decorated", _generator_function(target, names, target))
    return cast("Decorated", _function(target, names))


def checked_name(name: object) -> str:
    """Check the name of a stage.

    Args:
        name: What the user wrote.

    Returns:
        The same.

    Raises:
        TokenBudgetError: If it is no name; the remedy is to the point.
    """
    __tracebackhide__ = True
    remedy = f'a plain name such as stage("worker"): 1 to {MAX_NAME_LENGTH} printable characters'
    problem = "it is not a text"
    if isinstance(name, str):
        problem = _problem(name)
        if not problem:
            return name
        parts = ", ".join(f'stage("{part}")' for part in name.split("/") if part)
        remedy = f"stages nest by themselves: with {parts}: ..." if "/" in name and parts else remedy
    raise TokenBudgetError(f"a stage cannot be called {name!r}: {problem}", remedy=remedy)


def checked_path(path: object) -> str:
    """Check the path of a stage, ``"worker"`` or ``"worker/finalize"``.

    Raises:
        TokenBudgetError: If one of its names is none.
    """
    if not isinstance(path, str):
        return checked_name(path)
    return "/".join(checked_name(name) for name in path.split("/"))


def name_of(text: str) -> str:
    """A name that is made of any text (an agent's, say): what no name may hold becomes ``_``."""
    kept = "".join("_" if char in _FORBIDDEN or not char.isprintable() else char for char in text)
    return kept[:MAX_NAME_LENGTH].strip() or "_"


@lru_cache(maxsize=1024)
def _problem(name: str) -> str:
    """Say what is wrong with a name; ``""`` for nothing."""
    if not name.strip():
        return "it is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"it has {len(name)} characters"
    found = "".join(sorted(_FORBIDDEN.intersection(name)))
    if found:
        return f"it holds {found}"
    if not name.isprintable():
        return "it holds a character that cannot be printed"
    return "" if name == name.strip() else "it begins or ends with a blank"


class _WhileCalled:
    """Stages that are open while a function runs; none is opened where the function has just opened them itself."""

    __slots__ = ("_names", "_opened", "_owner")

    def __init__(self, names: tuple[str, ...], owner: object) -> None:
        self._names = names
        self._owner = owner
        self._opened: list[_Open] = []

    def __enter__(self) -> None:
        self._opened = _open_for(self._owner, self._names)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for opened in reversed(self._opened):
            opened.close()


def _open_for(owner: object, names: tuple[str, ...]) -> list[_Open]:
    """Open the stages of a function, unless it called itself."""
    innermost = _innermost()
    if not ACTIVE.recorders or (innermost is not None and innermost.owner is owner):
        return []
    return [_Open(name, owner) for name in names]


def _function(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not ACTIVE.recorders:
            return function(*args, **kwargs)
        with _WhileCalled(names, function):
            result = function(*args, **kwargs)
        # A plain function may hand out what a coroutine function or a generator would: its code is still to run.
        if isinstance(result, CoroutineType):
            return _coroutine_function(lambda: result, names, function)()
        if isinstance(result, GeneratorType):
            return _generator_function(lambda: result, names, function)()
        if isinstance(result, AsyncGeneratorType):
            return _async_generator_function(lambda: result, names, function)()
        return result

    return call


def _coroutine_function(
    function: Callable[..., Awaitable[Any]], names: tuple[str, ...], owner: object
) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if not ACTIVE.recorders:
            return await function(*args, **kwargs)
        with _WhileCalled(names, owner):
            return await function(*args, **kwargs)

    return call


def _generator_function(
    function: Callable[..., Generator[Any, Any, Any]], names: tuple[str, ...], owner: object
) -> Callable[..., Generator[Any, Any, Any]]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner, resumed = function(*args, **kwargs), _WhileResumed(names, owner)
        resume: Callable[[Any], Any] = inner.send
        value: Any = None
        while True:
            try:
                with resumed:
                    item = resume(value)
            except StopIteration as stop:
                return stop.value
            try:
                resume, value = inner.send, (yield item)
            except GeneratorExit:
                with resumed:
                    inner.close()
                raise
            except BaseException as error:
                resume, value = inner.throw, error

    return call


def _async_generator_function(
    function: Callable[..., AsyncGenerator[Any, Any]], names: tuple[str, ...], owner: object
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner, resumed = function(*args, **kwargs), _WhileResumed(names, owner)
        resume: Callable[[Any], Awaitable[Any]] = inner.asend
        value: Any = None
        while True:
            try:
                with resumed:
                    item = await resume(value)
            except StopAsyncIteration:
                return
            try:
                resume, value = inner.asend, (yield item)
            except GeneratorExit:
                with resumed:
                    await inner.aclose()
                raise
            except BaseException as error:
                resume, value = inner.athrow, error

    return call


class _WhileResumed:
    """Stages that are open only while a generator's own code runs, with the stages opened in it."""

    __slots__ = ("_inner", "_names", "_outer", "_owner", "_root")

    def __init__(self, names: tuple[str, ...], owner: object) -> None:
        self._names = names
        self._owner = owner
        self._root: _Open | None = None
        self._inner: _Open | None = None
        self._outer: _Open | None = None

    def __enter__(self) -> None:
        root = self._root
        self._outer = _current.get()
        if root is not None and root.epoch is ACTIVE.epoch:
            for opened in self._chain():
                opened.resume()
            _current.set(self._inner)
        else:
            self._root = next(iter(_open_for(self._owner, self._names)), None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._root is None:
            return
        self._inner = _current.get()
        for opened in self._chain():
            opened.suspend()
        _current.set(self._outer)

    def _chain(self) -> Generator[_Open, None, None]:
        """The stages from the innermost to the outermost of these."""
        opened = self._inner
        while opened is not None:
            yield opened
            opened = None if opened is self._root else opened.parent
