"""Tells which threads of this process have run lately.

A thread cannot be asked, but Linux counts how often each has run: ``/proc/self/task/*/schedstat`` (time on a CPU, time
waiting for one, number of times scheduled; Documentation/scheduler/sched-stats.rst, read 2026-11-24). A thread whose
line stays the same for a while in which it could have run, and that is not runnable, waits for something. On other
systems the place in the thread's Python code stands for that line.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress

QUIET_SECONDS = 0.0005
"""Real s for which no thread may have run before all count as waiting."""

BYSTANDER_PATIENCE_SECONDS = 0.25
"""Real s after which a thread that was there before the run, and never rests, is not waited for any more."""

AGENT_PATIENCE_SECONDS = 30.0
"""Real s after which any other thread that never rests is not waited for any more."""

_LONGEST_GAP_SECONDS = 1.0
"""Real s between two looks, from which on nothing is known of what a thread did between them."""

_TASKS = "/proc/self/task"
_SYSTEM_COUNTS = os.path.exists("/proc/self/schedstat")
_RUNNABLE = b"RDW"
"""States in which a thread will go on by itself: running or runnable, in the disk, waking (``man 5 proc_pid_stat``)."""

_WAITING_PLACES = (
    "threading.py",
    "queue.py",
    os.path.join("concurrent", "futures", "thread.py"),
    os.path.join("concurrent", "futures", "_base.py"),
)
"""Modules of the standard library that wait for other threads of this process, and for nothing else."""

Snapshot = Mapping[int, bytes]
"""The work of each thread so far, by native id. Lines of a thread that could run now end in ``R``."""


def thread_snapshot(apart_from: AbstractSet[int], processes: AbstractSet[int] = frozenset()) -> Snapshot:
    """Take a snapshot of all threads, those that libraries in C have started among them.

    Args:
        apart_from: Native ids of threads that are left out.
        processes: Further processes whose threads are looked at, where the system counts.
    """
    if not _SYSTEM_COUNTS:
        return _python_places(apart_from)
    lines: dict[int, bytes] = {}
    for place in (_TASKS, *(f"/proc/{pid}/task" for pid in processes)):
        with suppress(OSError):  # a process that ended meanwhile has no threads any more
            _add_lines(lines, place, apart_from)
    return lines


def _add_lines(lines: dict[int, bytes], place: str, apart_from: AbstractSet[int]) -> None:
    for tid in {int(name) for name in os.listdir(place)} - apart_from:
        with suppress(OSError, IndexError):  # a thread that ended meanwhile has no files any more
            state = _content(f"{place}/{tid}/stat").rpartition(b")")[2].split(None, 1)[0]
            lines[tid] = _content(f"{place}/{tid}/schedstat") + (b"R" if state in _RUNNABLE else b"")


def busy_threads(now: Snapshot, before: Snapshot) -> set[int]:
    """Give the threads of a snapshot that have run since an earlier one, or could run."""
    return {tid for tid, line in now.items() if line.endswith(b"R") or before.get(tid) != line}


def may_wait_for_the_outside(apart_from: AbstractSet[int]) -> bool:
    """Tell whether a thread may wait for another process: its place is not known to wait for threads only.

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


def _content(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 512)
    finally:
        os.close(file)


def _python_places(apart_from: AbstractSet[int]) -> Snapshot:
    frames = sys._current_frames()
    return {
        thread.native_id: b"%d %d" % (id(frame.f_code), frame.f_lasti)
        for thread in threading.enumerate()
        if thread.native_id is not None
        and thread.native_id not in apart_from
        and (frame := frames.get(thread.ident or 0)) is not None
    }


class ThreadWatch:
    """Knows for how long no thread has run, apart from those that wait for the clock.

    Attributes:
        quiet_since: Real time since when nobody began or ended to wait for the clock, and no thread was seen busy.
        ignored: Native ids of threads that never rest.
    """

    def __init__(self) -> None:
        self.quiet_since = 0.0
        self.ignored: set[int] = set()
        self._seen: Snapshot = {}
        self._all_at_rest: Snapshot = {}
        self._busy_since: dict[int, float] = {}
        self._looked_at = 0.0

    def restart(self) -> None:
        """Note that somebody began or ended to wait for the clock."""
        self.quiet_since = time.monotonic()

    def seconds_to_rest(
        self, waiting: AbstractSet[int], bystanders: AbstractSet[int], processes: AbstractSet[int]
    ) -> float:
        """Look at the threads, and tell for how long (real s) to watch them at least; 0 where all are at rest.

        Args:
            waiting: Native ids of the threads that wait for the clock.
            bystanders: Native ids of threads with which the agent may have nothing to do.
            processes: Ids of other processes of the agent.
        """
        seen, now = thread_snapshot(waiting | self.ignored, processes), time.monotonic()
        if _SYSTEM_COUNTS and not busy_threads(seen, self._all_at_rest):
            return 0.0  # nobody has run since all were at rest
        busy = busy_threads(seen, self._seen)
        self._seen = seen
        if now - self._looked_at > _LONGEST_GAP_SECONDS:
            self._busy_since.clear()
        self._looked_at = now
        self._busy_since = {tid: self._busy_since.get(tid, now) for tid in busy}
        if busy:
            self.quiet_since = now
            for tid, since in self._busy_since.items():
                if now - since > (BYSTANDER_PATIENCE_SECONDS if tid in bystanders else AGENT_PATIENCE_SECONDS):
                    self.ignored.add(tid)
            return QUIET_SECONDS
        if now - self.quiet_since < QUIET_SECONDS:
            return self.quiet_since + QUIET_SECONDS - now
        self._all_at_rest = seen
        return 0.0
