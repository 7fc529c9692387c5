"""Who is watching.

The code under test cannot be handed a recorder, and threads that it starts do not carry its context. So the watches
that are on stand in one place of the process, which stages and watched clients ask. It holds nothing else.
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
            times. What an earlier epoch left behind (a stage in a generator that nobody finished) is known by it.
    """

    __slots__ = ("_lock", "epoch", "recorders")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.recorders: tuple[Recorder, ...] = ()
        self.epoch: object | None = None

    def add(self, recorder: Recorder) -> None:
        """A watch begins."""
        with self._lock:
            if not self.recorders:
                self.epoch = object()
            self.recorders = (*self.recorders, recorder)

    def remove(self, recorder: Recorder) -> None:
        """A watch ends; watches may end in any order."""
        with self._lock:
            left = list(self.recorders)
            left.reverse()
            left.remove(recorder)
            left.reverse()
            self.recorders = tuple(left)
            if not left:
                self.epoch = None


ACTIVE = Active()
