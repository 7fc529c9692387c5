"""The virtual clock: what a run would have taken with the recorded durations, found by discrete-event simulation.

Each answer is held until the agent has nothing left to do and no other held answer would come earlier; then it is
released and the clock moves to it. The agent's own code takes no virtual time; its sleeps are events like answers.
``docs/replay.md`` says how each kind of waiting is seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from pytest_tokenbudget.replay.driver import Driver
from pytest_tokenbudget.replay.held import Agenda, Held
from pytest_tokenbudget.replay.loops import HookedLoop, hook_loops_of_this_thread

POLLS = 20
"""Sleeps in a row, with no call to a model, after which they are taken to wait for something outside, and so are slept."""

TIMER_GRACE = 0.3
"""Real s (at most) for which a timer of a loop with foreign I/O is held, so that it does not cut that I/O short."""


class VirtualClock:
    """A clock that holds answers until they are due; a context manager for the time of a run.

    Calling it gives the virtual time in s, from 0.

    Args:
        scale: Virtual seconds that pass in a real second where something may wait for the outside, which cannot be seen.
    """

    def __init__(self, *, scale: float = 100.0) -> None:
        self._scale = scale
        self._agenda = Agenda()
        self._driver = Driver(self._agenda, scale)
        self._really_sleep: Callable[[float], None] = time.sleep
        self._naps: dict[int, int] = {}
        self._undo: list[Callable[[], None]] = []

    def __call__(self) -> float:
        """Now, virtual s."""
        return self._agenda.now

    def __enter__(self) -> VirtualClock:
        self._driver.begin()
        self._agenda.running = True
        self._undo.append(hook_loops_of_this_thread(self._hook))
        self._really_sleep = before = time.sleep
        time.sleep = replacement = self._sleep

        def unpatch() -> None:
            if time.sleep == replacement:
                time.sleep = before

        self._undo.append(unpatch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        self._driver.end()
        for hooked in self._agenda.loops.values():
            hooked.unhook()
        self._agenda.loops.clear()

    def hold_until(self, due: float) -> None:
        """Return when it is ``due`` (virtual s); blocks the calling thread."""
        me = threading.get_native_id()
        self._agenda.callers.add(me)
        self._naps.pop(me, None)
        self._hold(due, answer=True)

    def _hold(self, due: float, *, answer: bool) -> None:
        agenda = self._agenda
        if due <= agenda.now or not agenda.running:
            return
        if threading.active_count() == 1:
            # Nobody else can have anything to do; what this thread's own loop holds has to wait for the thread.
            agenda.now = due
            return
        me, gate = threading.get_native_id(), threading.Event()

        def wake() -> None:
            agenda.waking.add(me)
            gate.set()

        held = Held(due, wake, answer)
        with agenda.lock:
            agenda.push(held)
            agenda.waiting.add(me)
            self._driver.step_or_poke(gate.is_set)
        try:
            gate.wait()
        finally:
            with agenda.lock:
                agenda.drop(held)
                agenda.waiting.discard(me)
                agenda.waking.discard(me)

    async def hold_until_async(self, due: float) -> None:
        """Return when it is ``due`` (virtual s); suspends the calling task."""
        agenda = self._agenda
        if due <= agenda.now or not agenda.running:
            return
        me = threading.get_native_id()
        agenda.callers.add(me)
        self._naps.pop(me, None)
        loop = _asyncio_loop()
        if loop is None:
            await self._hold_trio(due)
            return
        hooked = self._hook(loop)
        if hooked is None:
            await self._hold_scaled(due)
            return
        hooked.jumps = 0
        if self._nothing_can_come_before(due, hooked):
            agenda.now = due
            return
        future = loop.create_future()

        def arrive() -> None:
            if not future.done():
                future.set_result(None)

        def wake() -> None:
            hooked.idle = False
            hooked.run_soon(arrive)

        held = Held(due, wake)
        with agenda.lock:
            agenda.push(held)
        try:
            await future
        finally:
            with agenda.lock:
                agenda.drop(held)

    def _nothing_can_come_before(self, due: float, hooked: HookedLoop) -> bool:
        """Whether a task may go on at once: its loop would do nothing else until then."""
        if hooked.ready or threading.active_count() > 1 or hooked.has_foreign_io:
            return False
        first, timer = self._agenda.first(), hooked.next_timer
        return (first is None or first.due > due) and (timer is None or timer > due)

    def loop_is_idle(self, hooked: HookedLoop, timeout: float | None) -> list[Any]:
        """A loop has nothing left to run: move the clock if nobody else has, or wait until somebody moves it."""
        agenda = self._agenda
        if not agenda.running:
            return hooked.wait(timeout)
        alone = threading.active_count() == 1
        with agenda.lock:
            hooked.idle = True
            event = agenda.next()
            polling = event is None or (event.held is None and not agenda.answers and hooked.jumps >= POLLS)
            if not polling and not alone:
                self._driver.step_or_poke(lambda: not hooked.idle)
        if polling:
            events = hooked.wait_really(timeout) if event is not None else hooked.wait(timeout)
        elif alone and event is not None:
            events = self._grace(hooked, event.due, is_timer=event.held is None)
            if not events:
                with agenda.lock:
                    agenda.advance()
        else:
            events = hooked.wait(None) if hooked.idle else []
        hooked.jumps += not events and not agenda.answers
        hooked.idle = False
        return events

    def _grace(self, hooked: HookedLoop, due: float, *, is_timer: bool) -> list[Any]:
        """Where foreign I/O is watched, give it real time to come first."""
        if not hooked.has_foreign_io:
            return []
        ahead = max(0.0, due - self._agenda.now)
        real = ahead / self._scale
        return hooked.wait(max(real, min(ahead, TIMER_GRACE)) if is_timer else real)

    def _hook(self, loop: Any) -> HookedLoop | None:
        hooked = self._agenda.loops.get(id(loop))
        if hooked is None and self._agenda.running and HookedLoop.can_hook(loop):
            hooked = self._agenda.loops[id(loop)] = HookedLoop(loop, self)
        if hooked is not None:
            hooked.tid = threading.get_native_id()
        return hooked

    async def _hold_scaled(self, due: float) -> None:
        """For loops that cannot be hooked: a real wait of 1:scale, then in the order of what is due."""
        import asyncio

        agenda = self._agenda
        held = Held(due, lambda: None)
        with agenda.lock:
            agenda.push(held)
        try:
            await asyncio.sleep((due - agenda.now) / self._scale)
            while not self._is_next(held):
                await asyncio.sleep(0.001)
        finally:
            with agenda.lock:
                agenda.drop(held)

    async def _hold_trio(self, due: float) -> None:
        """trio tells when all its tasks wait; its sleeps stay real and take no virtual time."""
        import trio
        from trio.testing import wait_all_tasks_blocked

        agenda = self._agenda
        held = Held(due, lambda: None)
        with agenda.lock:
            agenda.push(held)
        try:
            if threading.active_count() > 1:
                await trio.sleep((due - agenda.now) / self._scale)
            await wait_all_tasks_blocked()
            while not self._is_next(held):
                # Those that come earlier go on first; threads of which trio knows nothing get a little real time.
                await trio.sleep(0.0005 if threading.active_count() > 1 else 0)
                await wait_all_tasks_blocked()
        finally:
            with agenda.lock:
                agenda.drop(held)

    def _is_next(self, held: Held) -> bool:
        """Take an answer if it is the next, or if it was released by somebody else."""
        agenda = self._agenda
        with agenda.lock:
            if held.gone or not agenda.running:
                return True
            if agenda.first() is not held:
                return False
            agenda.drop(held)
            agenda.now = max(agenda.now, held.due)
            return True

    def _sleep(self, seconds: Any) -> None:
        """``time.sleep`` meanwhile: an event on the virtual clock in the threads of the agent."""
        agenda, me = self._agenda, threading.get_native_id()
        calls = me in agenda.callers
        ours = calls or (bool(agenda.answers) and me not in self._driver.bystanders)
        if not (agenda.running and ours and isinstance(seconds, int | float) and 0 < seconds < float("inf")):
            self._really_sleep(seconds)
            return
        if not agenda.answers:
            self._naps[me] = naps = self._naps.get(me, 0) + 1
            if naps > POLLS:
                self._really_sleep(seconds)
                return
        self._hold(agenda.now + seconds, answer=False)


def _asyncio_loop() -> Any:
    """The running asyncio loop, ``None`` under another library."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
