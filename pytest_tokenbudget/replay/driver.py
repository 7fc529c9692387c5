"""Moves the virtual clock where several threads are about: when none of them has anything left to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_tokenbudget.replay.held import Agenda
from pytest_tokenbudget.replay.threads import Activity, look, wait_for_the_outside

WINDOW = 0.0005
"""Real s for which threads are watched before they count as waiting; grows while they do not."""

LONGEST_WINDOW = 0.005
"""Real s up to which the window grows, so that watching a busy agent costs little."""

STUBBORN = 0.25
"""Real s after which a thread that was there before the run, and never rests, is not waited for any more."""

HOPELESS = 30.0
"""The same for any other thread."""


@dataclass(slots=True)
class _Rest:
    """For how long the threads have been at rest, or not.

    Attributes:
        version: The agenda's version since when nothing happened.
        quiet_since: Real time since when all were seen at rest, ``None`` where they were not.
        busy_since: Real time since when some thread was seen busy, by thread.
        window: For how long to watch next, real s.
    """

    version: int = -1
    quiet_since: float | None = None
    busy_since: dict[int, float] = field(default_factory=dict)
    window: float = WINDOW


class Driver:
    """Watches the threads of a run; its own thread runs only when it is needed.

    Args:
        agenda: What waits.
        scale: Virtual seconds in a real second where something may wait for the outside.
    """

    def __init__(self, agenda: Agenda, scale: float) -> None:
        self._agenda = agenda
        self._scale = scale
        self._poked = threading.Condition(agenda.lock)
        self._thread: threading.Thread | None = None
        self._tid = 0
        self._calm = Activity({})
        self._ignored: set[int] = set()
        self._sleep = time.sleep
        self.bystanders: frozenset[int] = frozenset()

    def begin(self) -> None:
        """The run begins, in this thread: whoever is there already is a bystander until it calls a model."""
        me = threading.get_native_id()
        self._sleep = time.sleep
        self._calm = look()
        self.bystanders = frozenset(self._calm.ran) - {me}
        self._agenda.callers.add(me)

    def end(self) -> None:
        """The run ends: nobody is held any more."""
        agenda = self._agenda
        with agenda.lock:
            agenda.running = False
            while (held := agenda.first()) is not None:
                agenda.drop(held)
                held.wake()
            for hooked in agenda.loops.values():
                if hooked.idle:
                    hooked.wake()
            self._poked.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def step_or_poke(self, is_released: Callable[[], bool]) -> None:
        """Move the clock if all threads are known to be at rest, else have them watched. The lock is held.

        Args:
            is_released: Whether the caller may go on; as long as not, the threads are watched for it.
        """
        agenda = self._agenda
        if not agenda.waking:
            activity, apart = look(), self._apart()
            if activity.known and not activity.busy_since(self._calm, apart_from=apart) and not self._outside():
                agenda.advance()
        if is_released():
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._drive, name="tokenbudget-clock", daemon=True)
            self._thread.start()
        self._poked.notify_all()

    def _apart(self) -> set[int]:
        """The threads that need no watching: they wait for the clock itself."""
        agenda = self._agenda
        idle = {hooked.tid for hooked in agenda.loops.values() if hooked.idle}
        return agenda.waiting | idle | self._ignored | {self._tid}

    def _outside(self) -> bool:
        """Whether anything may wait for the outside."""
        agenda = self._agenda
        if any(hooked.idle and hooked.has_foreign_io for hooked in agenda.loops.values()):
            return True
        return wait_for_the_outside(self._apart() | (self.bystanders - agenda.callers))

    def _drive(self) -> None:
        agenda, rest = self._agenda, _Rest()
        self._tid = threading.get_native_id()
        while True:
            with agenda.lock:
                while agenda.running and agenda.next() is None:
                    self._poked.wait()
                if not agenda.running:
                    return
                if rest.version != agenda.version:
                    rest = _Rest(agenda.version, busy_since=rest.busy_since)
            before = look()
            self._sleep(rest.window)
            with agenda.lock:
                self._after_window(rest, before)

    def _after_window(self, rest: _Rest, before: Activity) -> None:
        agenda, now = self._agenda, time.monotonic()
        if rest.version != agenda.version or agenda.waking or not agenda.running:
            return
        after = look()
        busy = after.busy_since(before, apart_from=self._apart())
        if busy:
            self._note_busy(rest, busy, now)
            return
        self._calm = after
        rest.busy_since.clear()
        rest.quiet_since = now if rest.quiet_since is None else rest.quiet_since
        event = agenda.next()
        if event is None:
            return
        hold = (event.due - agenda.now) / self._scale if self._outside() else 0.0
        left = rest.quiet_since + hold - now
        if left <= 0:
            agenda.advance()
        else:
            rest.window = min(left, LONGEST_WINDOW)

    def _note_busy(self, rest: _Rest, busy: set[int], now: float) -> None:
        rest.quiet_since = None
        rest.window = min(rest.window * 1.5, LONGEST_WINDOW)
        rest.busy_since = {tid: rest.busy_since.get(tid, now) for tid in busy}
        for tid, since in rest.busy_since.items():
            patience = STUBBORN if tid in self.bystanders - self._agenda.callers else HOPELESS
            if now - since > patience:
                self._ignored.add(tid)
