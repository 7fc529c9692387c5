"""Whose work is it: of the sample that is being taken, or of something that began before it?"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from pytest_tokenbudget.capture.patching import Watched

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.in_flight import InFlightRequest

_sample: ContextVar[object] = ContextVar("tokenbudget_sample", default=None)
"""The sample in whose context work runs; tasks inherit it, and so does what is handed to a pool of threads."""

in_flight: ContextVar[InFlightRequest | None] = ContextVar("tokenbudget_in_flight", default=None)
"""The request within whose sending work runs, likewise."""


class SampleWork:
    """Tells the work of one sample from what ran before it began.

    A task or thread that was there before is none of the sample's, whatever it does meanwhile. What the sample hands to
    such a thread (through an executor) is.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._earlier: WeakSet[Any] = WeakSet()

    def begin(self) -> None:
        """Begin the sample in this thread: what runs now, this thread apart, belongs to something else."""
        self._thread = threading.current_thread()
        self._earlier.update(_all_work())
        _sample.set(self)

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """Let something wider than the sample run: the work that it leaves behind is none of the sample's."""
        before = set(_all_work())
        token = _sample.set(None)
        try:
            yield
        finally:
            _sample.reset(token)
            self._earlier.update(work for work in _all_work() if work not in before)

    def foreign_work(self) -> str:
        """Name the task or thread in which this is called, if it began before the sample; ``""`` if it is the sample's."""
        if _sample.get() is self or self._thread is None:
            return ""
        task = _current_task()
        if task is not None:
            return f"task {task.get_name()!r}" if task in self._earlier and not _runs_tests(task) else ""
        thread = threading.current_thread()
        return f"thread {thread.name!r}" if thread in self._earlier and thread is not self._thread else ""


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The method of ``concurrent.futures.thread`` that hands work to threads."""
    del client
    return (Watched(module.ThreadPoolExecutor, "submit", _handing_on),)


def _handing_on(submit: Callable[..., Any], pool: Any, function: Any, /, *args: Any, **options: Any) -> Any:
    """Have ``ThreadPoolExecutor.submit`` hand on for which sample and within which request it is called."""
    sample, request = _sample.get(), in_flight.get()
    if sample is None and request is None:
        return submit(pool, function, *args, **options)

    def run(*args: Any, **options: Any) -> Any:
        tokens = _sample.set(sample), in_flight.set(request)
        try:
            return function(*args, **options)
        finally:
            _sample.reset(tokens[0])
            in_flight.reset(tokens[1])

    return submit(pool, run, *args, **options)


def _all_work() -> Iterable[Any]:
    """The threads and the tasks of asyncio that there are now."""
    yield from threading.enumerate()
    tasks = sys.modules.get("asyncio.tasks")
    # Private, but the only way to the tasks of loops that do not run now: of Python 3.11, and of later ones.
    for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks"):
        yield from tuple(getattr(tasks, name, ()))
    if sys.version_info >= (3, 14) and tasks is not None:
        for loop in _running_loops():
            yield from tasks.all_tasks(loop)


def _running_loops() -> Iterator[Any]:
    """The event loops of all threads, found in the frames that run them."""
    for top in sys._current_frames().values():
        frame: Any = top
        while frame is not None:
            if frame.f_code.co_name == "run_forever" and "self" in frame.f_locals:
                yield frame.f_locals["self"]
                break
            frame = frame.f_back


def _current_task() -> Any:
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return None
    try:
        return tasks.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None


def _runs_tests(task: Any) -> bool:
    """Tell whether a task is that of anyio's plugin for pytest, in which all tests of a scope run."""
    return "TestRunner" in getattr(task.get_coro(), "__qualname__", "")
