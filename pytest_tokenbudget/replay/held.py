"""What waits on the virtual clock, and who goes on next."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from pytest_tokenbudget.replay.loops import HookedLoop


@dataclass(slots=True)
class Held:
    """Somebody who waits.

    Attributes:
        due: When it is to go on, virtual s.
        wake: Lets it go on; called once, from any thread.
        answer: Whether it waits for an answer of the model, and not just sleeps.
        gone: Whether it does not wait any more.
    """

    due: float
    wake: Callable[[], None]
    answer: bool = True
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """What comes next: somebody who is held, or a timer of an idle loop."""

    due: float
    held: Held | None
    loop: HookedLoop | None


@dataclass(slots=True)
class Agenda:
    """Everything that waits on a clock. All but ``now`` is only touched under the lock.

    Attributes:
        now: Virtual time, s.
        running: Whether the clock runs; when it does not, nobody is held.
        lock: Protects the rest.
        version: Grows with every change, so that whoever looked away notices.
        waiting: Native ids of the threads that are held.
        waking: Of those, the ones that were released and did not go on yet.
        callers: Native ids of the threads that called a model, and of the one that began the run.
        loops: Hooked event loops by identity.
    """

    now: float = 0.0
    running: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: int = 0
    waiting: set[int] = field(default_factory=set)
    waking: set[int] = field(default_factory=set)
    callers: set[int] = field(default_factory=set)
    loops: dict[int, HookedLoop] = field(default_factory=dict)
    answers: int = 0
    _heap: list[tuple[float, int, Held]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    def push(self, held: Held) -> None:
        """Begin to wait; of equals, who came first goes first."""
        heapq.heappush(self._heap, (held.due, next(self._order), held))
        self.answers += held.answer
        self.version += 1

    def drop(self, held: Held) -> None:
        """Stop waiting, released or not."""
        if not held.gone:
            held.gone = True
            self.answers -= held.answer
            self.version += 1

    def first(self) -> Held | None:
        """Who of those that are held goes on next."""
        while self._heap and self._heap[0][2].gone:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def next(self) -> Event | None:
        """What comes next; an answer comes before a timer that is due at the same time."""
        timers = [(timer, loop) for loop in self.loops.values() if loop.idle and (timer := loop.next_timer) is not None]
        held = self.first()
        if timers:
            timer, loop = min(timers, key=lambda pair: pair[0])
            if held is None or timer < held.due:
                return Event(timer, None, loop)
        return None if held is None else Event(held.due, held, None)

    def advance(self) -> None:
        """Let the next go on, and move the clock to it."""
        event = self.next()
        if event is None:
            return
        self.now = max(self.now, event.due)
        self.version += 1
        if event.held is not None:
            self.drop(event.held)
            event.held.wake()
        elif event.loop is not None:
            event.loop.idle = False
            event.loop.wake()
