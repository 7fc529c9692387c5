"""Whether the threads of this process have anything left to do.

A thread cannot be asked, but Linux counts how often each has run: ``/proc/self/task/*/schedstat`` (time on a CPU, time
waiting for one, number of times scheduled; Documentation/scheduler/sched-stats.rst, read 2026-11-24). A thread whose
line stays the same over a while in which it could have run, and that is not runnable, waits for something. Elsewhere
nothing is known of a thread but that it is there.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

_TASKS = "/proc/self/task"
_RUNNABLE = frozenset("RDW")
"""States in which a thread will go on by itself: running or runnable, in the disk, waking (``man 5 proc_pid_stat``)."""

_WAITING_PLACES = (
    "threading.py",
    "queue.py",
    os.path.join("concurrent", "futures", "thread.py"),
    os.path.join("concurrent", "futures", "_base.py"),
)
"""Modules of the standard library that wait for other threads of this process, and for nothing else."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What the threads had done when it was looked.

    Attributes:
        ran: Scheduler's line by native thread id.
        runnable: Threads that would go on by themselves.
        known: Whether the system tells; where not, no thread counts as busy.
    """

    ran: dict[int, bytes]
    runnable: frozenset[int] = frozenset()
    known: bool = True

    def busy_since(self, before: Activity, *, apart_from: AbstractSet[int]) -> set[int]:
        """The threads that have run since ``before``, or could run, apart from some."""
        if not self.known:
            return set()
        ran = {tid for tid, line in self.ran.items() if before.ran.get(tid) != line}
        return (ran | self.runnable) - apart_from


def look() -> Activity:
    """What all threads have done so far. Threads that libraries in C have started are among them."""
    try:
        tids = [int(name) for name in os.listdir(_TASKS)]
    except OSError:
        return _python_threads()
    ran: dict[int, bytes] = {}
    runnable: set[int] = set()
    for tid in tids:
        place = f"{_TASKS}/{tid}/"
        try:
            line = _content(place + "schedstat")
            state = _content(place + "stat").rpartition(b")")[2].split(None, 1)[0].decode()
        except (OSError, IndexError):
            # A thread that ended meanwhile has no files any more; a system that does not count has never had them.
            if os.path.exists(place + "stat") and not os.path.exists(place + "schedstat"):
                return _python_threads()
            continue
        ran[tid] = line
        if state in _RUNNABLE:
            runnable.add(tid)
    return Activity(ran, frozenset(runnable))


def _content(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 512)
    finally:
        os.close(file)


def _python_threads() -> Activity:
    return Activity({thread.native_id or 0: b"" for thread in threading.enumerate()}, known=False)


def wait_for_the_outside(apart_from: AbstractSet[int]) -> bool:
    """Whether a thread may wait for something outside: its place is not known to wait only for threads of this process.

    Args:
        apart_from: Native ids of threads that are left out.
    """
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread.native_id in apart_from or thread.ident is None:
            continue
        frame = frames.get(thread.ident)
        if frame is not None and not frame.f_code.co_filename.endswith(_WAITING_PLACES):
            return True
    return False
