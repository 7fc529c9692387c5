"""The recorders that watch now.

The code under test cannot be handed a recorder, and threads that it starts do not carry its context. So the recorders
stand in one place of the process, where stages and watched clients find them. It holds nothing else.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.recorder import Recorder


class Active:
    """The recorders of the watches that are on, outermost first.

    Attributes:
        recorders: The recorders; replaced as a whole, so that a reader needs no lock.
        epoch: An object that stands for the time from the outermost watch's begin to its end; ``None`` between such
            times. It shows what an earlier epoch left behind (a stage in a generator that nobody finished).
    """

    __slots__ = ("_lock", "epoch", "recorders")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.recorders: tuple[Recorder, ...] = ()
        self.epoch: object | None = None

    def add(self, recorder: Recorder) -> None:
        """Begin a watch."""
        with self._lock:
            if not self.recorders:
                self.epoch = object()
            self.recorders = (*self.recorders, recorder)

    def remove(self, recorder: Recorder) -> None:
        """End a watch; watches may end in any order."""
        with self._lock:
            kept = list(self.recorders)
            if recorder in kept:
                # The one that was added last: a recorder may watch twice.
                del kept[len(kept) - 1 - kept[::-1].index(recorder)]
            self.recorders = tuple(kept)
            if not kept:
                self.epoch = None


ACTIVE = Active()
