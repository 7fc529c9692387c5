"""An asyncio event loop on the virtual clock.

The loop's selector is asked to wait exactly when the loop has nothing left to run: that is where the virtual clock may
move. The loop's own clock becomes the virtual one, so that ``asyncio.sleep`` and timeouts are events like any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Idle(Protocol):
    """Who is told that a loop has nothing left to run: the virtual clock."""

    def __call__(self) -> float:
        """Now, virtual s."""

    def loop_is_idle(self, hooked: HookedLoop, timeout: float | None) -> list[Any]:
        """Move the clock, or wait (at most the loop's own ``timeout``, s); gives what the selector gave."""


class HookedLoop:
    """A loop whose waiting and whose clock are ours.

    Args:
        loop: A loop with a selector, see :meth:`can_hook`.
        clock: Who is told when it is idle.
    """

    def __init__(self, loop: Any, clock: Idle) -> None:
        self.loop = loop
        self.tid = threading.get_native_id()
        self.idle = False
        self.jumps = 0
        self._really_waited = 0.0
        self._clock = clock
        self._selector = loop._selector
        self._select: Callable[[float | None], list[Any]] = loop._selector.select
        self._shift_timers(self.time() - loop.time())
        loop.time = self.time
        self._selector.select = self._idle_or_select

    @staticmethod
    def can_hook(loop: Any) -> bool:
        """Whether a loop has what is needed: loops that are not written in Python have not."""
        return hasattr(getattr(loop, "_selector", None), "select") and isinstance(
            getattr(loop, "_scheduled", None), list
        )

    def time(self) -> float:
        """The loop's clock, s: virtual, and moved on by what was really waited for a poll."""
        return self._clock() + self._really_waited

    def _idle_or_select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return self._select(timeout)
        events = self._select(0)
        return events or self._clock.loop_is_idle(self, timeout)

    def wait(self, seconds: float | None) -> list[Any]:
        """Really wait for the outside; the loop's clock stands still."""
        return self._select(seconds)

    def wait_really(self, seconds: float | None) -> list[Any]:
        """Really wait for the outside; the loop's clock moves on."""
        began = time.monotonic()
        events = self._select(seconds)
        self._really_waited += time.monotonic() - began
        return events

    def wake(self) -> None:
        """Make a waiting selector return; from any thread."""
        with suppress(RuntimeError):  # the loop may have been closed
            self.loop.call_soon_threadsafe(_nothing)

    def run_soon(self, callback: Callable[[], object]) -> None:
        """Run something in the loop; from any thread."""
        with suppress(RuntimeError):  # the loop may have been closed
            if threading.get_native_id() == self.tid:
                self.loop.call_soon(callback)
            else:
                self.loop.call_soon_threadsafe(callback)

    @property
    def ready(self) -> bool:
        """Whether the loop has something to run."""
        return bool(self.loop._ready)

    @property
    def next_timer(self) -> float | None:
        """When the loop's next timer is due, virtual s."""
        scheduled = self.loop._scheduled
        return float(scheduled[0]._when) - self._really_waited if scheduled else None

    @property
    def has_foreign_io(self) -> bool:
        """Whether the loop watches more than its own wake-up pipe."""
        get_map = getattr(self._selector, "get_map", None)
        watched = get_map() if get_map is not None else None
        return watched is None or len(watched) > getattr(self.loop, "_internal_fds", 1)

    def _shift_timers(self, by: float) -> None:
        # A uniform shift keeps the heap in order.
        for timer in self.loop._scheduled:
            timer._when += by

    def unhook(self) -> None:
        """Give the loop its own clock and its own waiting back."""
        if self.loop.is_closed():
            return
        if self.loop.is_running() and self.tid != threading.get_native_id():
            with suppress(RuntimeError):  # it may be closed this very moment
                self.loop.call_soon_threadsafe(self._unhook)
        else:
            self._unhook()

    def _unhook(self) -> None:
        if "time" not in vars(self.loop):
            return
        virtual = self.time()
        del self.loop.time
        with suppress(AttributeError):  # somebody else may have replaced it
            del self._selector.select
        self._shift_timers(self.loop.time() - virtual)


def _nothing() -> None:
    """What a loop is woken with."""


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
