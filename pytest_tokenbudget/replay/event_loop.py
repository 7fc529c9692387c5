"""An asyncio event loop on the virtual clock.

The loop's selector is asked to wait exactly when the loop has nothing left to run: that is where the virtual clock may
move. The loop's own clock becomes the virtual one, so that ``asyncio.sleep``, timeouts and answers are timers like any
other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from pytest_tokenbudget.replay.clock import VirtualClock


asks_a_model: ContextVar[bool] = ContextVar("tokenbudget_asks_a_model", default=False)
"""Set in a task that has asked a model in this run, or was begun by one that had."""


class VirtualLoop:
    """A hooked loop. While it is idle it waits for the clock, see ``Waiter`` in ``clock.py``.

    Args:
        loop: A loop with a selector, see :meth:`can_hook`.
        clock: Told when the loop is idle.
        serves_others: Whether it ran before the run began. As in a loop that listens for connections, only timers of tasks that
            have asked a model are then the agent's, and the others (a server's ticks) pass in real time.

    Attributes:
        tid: Native id of the loop's thread.
        due: When its next timer of the agent is due, virtual s; ``None`` for none. Does not change while the loop is idle.
        events: What the selector gave last.
    """

    def __init__(self, loop: Any, clock: VirtualClock, *, serves_others: bool = False) -> None:
        self.tid = threading.get_native_id()
        self.due: float | None = None
        self.events: list[Any] = []
        self._loop = loop
        self._clock = clock
        self._serves_others = serves_others
        self._next: Any = None
        self._answers: dict[int, Future[None]] = {}
        self._really_waited = 0.0
        self._selector = loop._selector
        self._select: Callable[[float | None], list[Any]] = loop._selector.select
        self._shift_timers(self._time() - loop.time())
        loop.time = self._time
        self._selector.select = self._select_or_idle

    @staticmethod
    def can_hook(loop: Any) -> bool:
        """Tell whether a loop has what is needed: loops that are not written in Python have not."""
        return hasattr(getattr(loop, "_selector", None), "select") and isinstance(
            getattr(loop, "_scheduled", None), list
        )

    async def hold_until(self, due: float) -> None:
        """Suspend the calling task until ``due`` (virtual s)."""
        future = self._loop.create_future()
        timer = self._loop.call_at(due + self._really_waited, _finish, future)
        self._answers[id(timer)] = future
        try:
            await future
        finally:
            timer.cancel()
            del self._answers[id(timer)]

    def wait(self, seconds: float | None) -> bool:
        """Wait in real time for I/O or a wake-up, at most so long; tells whether there was any."""
        self.events = self._select(seconds)
        return bool(self.events)

    def wait_on_its_own_clock(self, seconds: float | None) -> list[Any]:
        """Wait in real time; the loop's clock moves on by that, the virtual clock stands still."""
        began = time.monotonic()
        events = self._select(seconds)
        self._really_waited += time.monotonic() - began
        return events

    def wake(self) -> None:
        """Make a waiting selector return; from any thread."""
        with suppress(RuntimeError):  # the loop may have been closed
            self._loop.call_soon_threadsafe(_do_nothing)

    @property
    def comes_with_an_answer(self) -> bool:
        """Tell whether the next timer is an answer of a model."""
        return id(self._next) in self._answers

    @property
    def is_guarded(self) -> bool:
        """Tell whether the next timer is no sleep: it ends something that takes too long."""
        from asyncio import futures

        # What asyncio.sleep asks a loop to call (CPython's Lib/asyncio/tasks.py, the same from 3.4 to 3.14).
        sleeps = getattr(futures, "_set_result_unless_cancelled", None)
        return self._next is not None and getattr(self._next, "_callback", None) is not sleeps

    @property
    def has_foreign_io(self) -> bool:
        """Tell whether the loop watches more than its own wake-up pipe."""
        get_map = getattr(self._selector, "get_map", None)
        watched = get_map() if get_map is not None else None
        return watched is None or len(watched) > getattr(self._loop, "_internal_fds", 1)

    def unhook(self) -> None:
        """Give the loop its own clock and its own waiting back, and let its held tasks go on."""
        if self._loop.is_closed():
            return
        if self._loop.is_running() and self.tid != threading.get_native_id():
            with suppress(RuntimeError):  # it may be closed this very moment
                self._loop.call_soon_threadsafe(self._unhook)
        else:
            self._unhook()

    def _unhook(self) -> None:
        virtual = self._time()
        del self._loop.time
        with suppress(AttributeError):  # somebody else may have replaced it
            del self._selector.select
        self._shift_timers(self._loop.time() - virtual)
        for future in self._answers.values():
            _finish(future)

    def _time(self) -> float:
        return self._clock() + self._really_waited

    def _select_or_idle(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return self._select(timeout)
        events = self._select(0)
        if events:
            return events
        self.events = []
        self._next = self._next_timer()
        self.due = None if self._next is None else float(self._next._when) - self._really_waited
        return self._clock.loop_is_idle(self, timeout)

    def _next_timer(self) -> Any:
        """Give the timer of the agent that is due first."""
        timers = self._loop._scheduled
        if self._serves_others or self._listens():
            timers = [timer for timer in timers if id(timer) in self._answers or _is_agents(timer)]
            return min(timers, key=lambda timer: float(timer._when), default=None)
        return timers[0] if timers else None

    def _listens(self) -> bool:
        """Tell whether the loop accepts connections: it is a server's."""
        get_map = getattr(self._selector, "get_map", None)
        for key in list((get_map() or {}).values()) if get_map is not None else ():
            reader = key.data[0] if isinstance(key.data, tuple) and key.data else None
            callback = getattr(reader, "_callback", None)
            if getattr(callback, "__name__", "") == "_accept_connection":  # of asyncio's selector_events.py
                return True
        return False

    def _shift_timers(self, by: float) -> None:
        # A uniform shift keeps the heap in order.
        for timer in self._loop._scheduled:
            timer._when += by


def _is_agents(timer: Any) -> bool:
    """Tell whether the task that set a timer has asked a model."""
    context = getattr(timer, "_context", None)
    return not timer.cancelled() and context is not None and bool(context.get(asks_a_model))


def _finish(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _do_nothing() -> None:
    """Run in a loop to wake it."""


def hook_loops_of_this_thread(hook: Callable[[AbstractEventLoop], object]) -> Callable[[], None]:
    """Hook every loop that begins to run in this thread, and the one that runs already.

    Returns:
        A function that ends this.
    """
    import asyncio
    from asyncio.base_events import BaseEventLoop

    mine = threading.get_ident()
    run_forever = BaseEventLoop.run_forever

    def hooking(self: BaseEventLoop) -> None:
        if threading.get_ident() == mine:
            hook(self)
        run_forever(self)

    BaseEventLoop.run_forever = hooking  # type: ignore[method-assign]  # for the time of a run
    with suppress(RuntimeError):
        hook(asyncio.get_running_loop())

    def undo() -> None:
        BaseEventLoop.run_forever = run_forever  # type: ignore[method-assign]  # as it was

    return undo
