"""The virtual clock: what a run would have taken with the recorded durations, found by discrete-event simulation.

Whoever waits for virtual time (a thread that is held, an event loop with nothing left to run) is a waiter. The waiter
that is due first watches the rest of the process. When nobody else has anything left to do, it moves the clock to its
own time and goes on, and the next one takes over. So the agent's own code takes no virtual time, and its sleeps are
events like answers. ``docs/replay.md`` says how each kind of waiting is seen.
"""

from __future__ import annotations

import math
import os
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, Protocol
from weakref import WeakSet

from pytest_tokenbudget.replay.event_loop import VirtualLoop, asks_a_model, hook_loops_of_this_thread
from pytest_tokenbudget.replay.thread_activity import (
    QUIET_SECONDS,
    ThreadWatch,
    may_wait_for_the_outside,
    thread_snapshot,
)
from pytest_tokenbudget.wording import counted

MOST_SLEEPS = 20
"""Sleeps in a row of one thread, with no answer under way, after which it is taken to wait for something outside: its
further sleeps are real, so that the clock does not run away."""

MOST_SLEEPS_OF_OTHERS = 3
"""Such sleeps of a thread that began during the run and has never asked a model: a tool's handler sleeps once or twice, and
a thread that goes on and on is a heartbeat."""

LONGEST_LOOK_SECONDS = 0.005
"""Real s between two looks at busy threads, at most: it grows while they stay busy, so that looking costs little."""

LEAST_HOLD_SECONDS = 0.02
"""Real s for which anything is held at least where the outside may be waited for: as long as a busy machine takes to let a
thread go on, so that a server of this process comes to its own sleep before the clock moves."""

TIMER_GRACE_SECONDS = 0.3
"""Real s (at most) for which a sleep of a loop with foreign I/O is held, so that it does not come before that I/O. A timer
that guards the I/O is held for as long as it says: no tool is cut short because time is projected."""


class Waiter(Protocol):
    """A thread or an event loop that waits for the clock.

    Attributes:
        tid: Native id of its thread.
        due: When it is to go on, virtual s; ``None``: only when something wakes it. Constant while it waits.
    """

    tid: int
    due: float | None

    def wait(self, seconds: float | None) -> bool:
        """Wait in real time until woken, at most so long; tells whether it has to go on whatever the clock says."""

    def wake(self) -> None:
        """Make it return from :meth:`wait`; from any thread."""


class _HeldThread:
    """A thread that waits; a context manager for the time in which it is not given up."""

    def __init__(self, due: float) -> None:
        self.tid = threading.get_native_id()
        self.due: float | None = due
        self.is_given_up = False
        self._woken = threading.Event()

    def __enter__(self) -> _HeldThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_given_up = True
        self.wake()

    def wait(self, seconds: float | None) -> bool:
        self._woken.wait(seconds)
        self._woken.clear()
        return self.is_given_up

    def wake(self) -> None:
        self._woken.set()


class VirtualClock:
    """A clock that holds answers until they are due; a context manager for the time of a run.

    Calling it gives the virtual time in s, from 0.

    Args:
        scale: Virtual seconds that pass in a real second where something may wait for the outside, which cannot be seen.

    Attributes:
        processes: Gives the ids of the agent's other processes: the clock waits until their threads rest, too.
        real_holds: How often the clock was moved after a real hold, since something may have waited for the outside.
    """

    def __init__(self, *, scale: float = 100.0) -> None:
        self.processes: Callable[[], AbstractSet[int]] = frozenset
        self.real_holds = 0
        self._holds_now = False
        self._now = 0.0
        self._moves: list[tuple[float, float]] = []
        self._scale = scale
        self._running = False
        self._lock = threading.Lock()
        self._waiters: list[Waiter] = []
        self._loops: dict[int, VirtualLoop] = {}
        self._answers_under_way = 0
        self._sleeps: Counter[int] = Counter()
        self._callers: set[int] = set()
        self._bystanders: frozenset[int] = frozenset()
        self._watch = ThreadWatch()
        self._really_sleep: Callable[[float], None] = time.sleep
        self._undo: list[Callable[[], None]] = []

    def __call__(self) -> float:
        """Give the virtual time, s."""
        return self._now

    def time_at(self, real: float) -> float:
        """Give the virtual time (s) at a real one (s on the clock of ``time.perf_counter``)."""
        moves = bisect_right(self._moves, (real, math.inf))
        return self._moves[moves - 1][1] if moves else 0.0

    def notes(self) -> tuple[str, ...]:
        """Say where the times of a run with child processes rest on real holds."""
        if not self.real_holds or not self.processes():
            return ()
        return (
            f"in a run with child processes {counted(self.real_holds, 'answer or sleep was', 'answers and sleeps were')} held"
            f" in real time, for the recorded time divided by {self._scale:g} (tokenbudget_time_scale): it cannot be seen"
            " whether a child still works or waits for something outside, so that the projected times are less certain",
        )

    def _move(self, to: float) -> None:
        self._now = max(self._now, to)
        self._moves.append((time.perf_counter(), self._now))

    def __enter__(self) -> VirtualClock:
        me = threading.get_native_id()
        self._callers.add(me)
        self._bystanders = frozenset(thread_snapshot({me}))
        self._running = True
        _RUNNING.add(self)
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
        with self._lock:
            self._running = False
            for waiter in self._waiters:
                waiter.wake()
        for loop in self._loops.values():
            loop.unhook()
        self._loops.clear()

    def stop_in_forked_child(self) -> None:
        """Let real time pass in a process that was forked: the run goes on in the other one, which is asked for answers."""
        self._running = False
        self._lock = threading.Lock()  # a thread that does not exist here may have held it

    def hold_until(self, due: float) -> None:
        """Return when it is ``due`` (virtual s); blocks the calling thread."""
        self._note_call(+1)
        try:
            self._hold(due)
        finally:
            self._note_call(-1)

    async def hold_until_async(self, due: float) -> None:
        """Return when it is ``due`` (virtual s); suspends the calling task."""
        if due <= self._now or not self._running:
            return
        asks_a_model.set(True)
        self._note_call(+1)
        try:
            await self._hold_task(due)
        finally:
            self._note_call(-1)

    def _note_call(self, more: int) -> None:
        me = threading.get_native_id()
        with self._lock:
            self._callers.add(me)
            self._sleeps.pop(me, None)
            self._answers_under_way += more

    def _hold(self, due: float) -> None:
        if due <= self._now or not self._running:
            return
        if threading.active_count() == 1:
            # Nobody else can have anything to do; what this thread's own loop holds has to wait for the thread.
            self._move(due)
        else:
            self._wait(_HeldThread(due))

    def _hold_task(self, due: float) -> Awaitable[None]:
        import asyncio

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._hold_trio_task(due)
        hooked = self._hook(loop)
        return self._hold_foreign_task(due, loop) if hooked is None else hooked.hold_until(due)

    async def _hold_trio_task(self, due: float) -> None:
        """Let a thread wait in the task's place: to the clock, trio's own thread is one like any other."""
        import trio

        with _HeldThread(due) as held:
            limiter = trio.CapacityLimiter(1)
            await trio.to_thread.run_sync(self._wait_for, held, abandon_on_cancel=True, limiter=limiter)

    async def _hold_foreign_task(self, due: float, loop: Any) -> None:
        """Do the same for an event loop that cannot be hooked, such as uvloop's."""
        future = loop.create_future()

        def wait() -> None:
            self._wait_for(held)
            if not held.is_given_up:
                loop.call_soon_threadsafe(future.set_result, None)

        with _HeldThread(due) as held:
            threading.Thread(target=wait, name="tokenbudget-clock", daemon=True).start()
            await future

    def _wait_for(self, held: _HeldThread) -> None:
        held.tid = threading.get_native_id()
        self._wait(held)

    def loop_is_idle(self, loop: VirtualLoop, timeout: float | None) -> list[Any]:
        """Wait until a loop has something to do.

        Args:
            loop: A loop that has nothing left to run.
            timeout: For how long it would wait, s of its own clock.

        Returns:
            What its selector gave; nothing where the clock was moved to its next timer.
        """
        if not self._running:
            loop.wait(timeout)
        elif timeout is not None and (loop.due is None or self._sleeps_too_often(loop.tid)):
            return loop.wait_on_its_own_clock(timeout)
        elif not self._wait(loop):
            self._sleeps[loop.tid] += not self._answers_under_way
            return []
        return loop.events

    def _sleeps_too_often(self, tid: int) -> bool:
        return not self._answers_under_way and self._sleeps[tid] >= MOST_SLEEPS

    def _wait(self, waiter: Waiter) -> bool:
        """Wait until the clock has come to what a waiter waits for.

        Returns:
            Whether something else made it go on before.
        """
        with self._lock:
            self._waiters.append(waiter)
            self._watch.restart()
        try:
            look_after = QUIET_SECONDS
            while self._running:
                with self._lock:
                    remaining = self._seconds_to_watch(waiter)
                    if remaining == 0 and waiter.due is not None:
                        self.real_holds += self._holds_now
                        self._move(waiter.due)
                        return False
                if waiter.wait(None if remaining is None else min(remaining, look_after)):
                    return True
                look_after = min(look_after * 1.5, LONGEST_LOOK_SECONDS)
            return True
        finally:
            with self._lock:
                self._waiters.remove(waiter)
                self._watch.restart()
                following = self._first()
            if following is not None:
                following.wake()

    def _first(self) -> Waiter | None:
        """Give the waiter that goes on next; of equals, who came first."""
        waiters = [waiter for waiter in self._waiters if waiter.due is not None]
        return min(waiters, key=lambda waiter: waiter.due or 0.0, default=None)

    def _seconds_to_watch(self, waiter: Waiter) -> float | None:
        """Tell for how long (real s) a waiter has to watch before the clock may move; ``None`` where another one is first."""
        self._holds_now = False
        if waiter.due is None or self._first() is not waiter:
            return None
        waiting = {waiter.tid for waiter in self._waiters}
        alone = threading.active_count() == 1
        if not alone and (
            busy := self._watch.seconds_to_rest(waiting, self._bystanders - self._callers, self.processes())
        ):
            return busy
        ahead = max(0.0, waiter.due - self._now)
        hold = 0.0
        if self._may_wait_for_the_outside(waiting, alone=alone):
            hold = max(ahead / self._scale, LEAST_HOLD_SECONDS) if ahead else 0.0
            if isinstance(waiter, VirtualLoop) and waiter.has_foreign_io and not waiter.comes_with_an_answer:
                hold = max(hold, ahead if waiter.is_guarded else min(ahead, TIMER_GRACE_SECONDS))
        self._holds_now = hold > 0
        return max(0.0, self._watch.quiet_since + hold - time.monotonic()) if hold else 0.0

    def _may_wait_for_the_outside(self, waiting: set[int], *, alone: bool) -> bool:
        if any(isinstance(waiter, VirtualLoop) and waiter.has_foreign_io for waiter in self._waiters):
            return True
        return not alone and may_wait_for_the_outside(
            waiting | self._watch.ignored | (self._bystanders - self._callers)
        )

    def _hook(self, loop: Any) -> VirtualLoop | None:
        hooked = self._loops.get(id(loop))
        if hooked is None and self._running and VirtualLoop.can_hook(loop):
            is_bystander = threading.get_native_id() in self._bystanders
            hooked = self._loops[id(loop)] = VirtualLoop(loop, self, serves_others=is_bystander)
        if hooked is not None:
            hooked.tid = threading.get_native_id()
        return hooked

    def _sleep(self, seconds: Any) -> None:
        """Stand for ``time.sleep``: in the threads of the agent a sleep is an event on the virtual clock."""
        me = threading.get_native_id()
        is_agent = me in self._callers or (me not in self._bystanders and self._may_be_agents(me))
        is_usual = isinstance(seconds, int | float) and 0 < seconds < float("inf")
        if not (self._running and is_agent and is_usual) or self._sleeps_too_often(me):
            self._really_sleep(seconds)
            return
        self._sleeps[me] += not self._answers_under_way
        self._hold(self._now + seconds)

    def _may_be_agents(self, tid: int) -> bool:
        """Tell whether a sleep in a thread that began during the run is one of the agent's, or of a server's that it waits for."""
        return self._answers_under_way > 0 or self._sleeps[tid] < MOST_SLEEPS_OF_OTHERS


_RUNNING: WeakSet[VirtualClock] = WeakSet()


def _stop_in_forked_child() -> None:
    for clock in _RUNNING:
        clock.stop_in_forked_child()


# Python cannot be told to forget who wants to know about forks, so the module is told once, for all clocks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stop_in_forked_child)
