"""The recorder of a child process: what it sees is appended to the child's own file at once."""

from __future__ import annotations

import atexit
import json
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.children.frames import encode
from pytest_tokenbudget.capture.children.spool_directory import ANSWERED, ASKED, IDLE, SUFFIX, WATCHED, Address
from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library, builtin_body_limit
from pytest_tokenbudget.capture.network import ConnectionLog
from pytest_tokenbudget.capture.recorder import OpenSpan
from pytest_tokenbudget.capture.watch import take_over

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.children.asking import Asking
    from pytest_tokenbudget.capture.local_answer import Outgoing


class ChildRecorder:
    """Records for the session that this process belongs to.

    It holds nothing but what is under way: a server may run for a whole session.

    Args:
        spool: The directory of the session.
        path: This process's file in it.
        request_usage: Whether OpenAI-style streams are asked for their usage.
        questions: Where the session can be asked about a request.
    """

    on_end = None
    body_limit = staticmethod(builtin_body_limit)
    before_send: Callable[[Outgoing], None] | None = None

    def __init__(self, spool: str, path: str, *, request_usage: bool, questions: Address) -> None:
        self.clock = time.perf_counter
        self.request_usage = request_usage
        self._spool = spool
        self._path = path
        self._questions = questions
        self._asking: Asking | None = None
        self._numbers = count()
        self._begun: dict[int, ExchangeBuilder] = {}
        self._written: dict[int, Any] = {}
        self.connections = ChildConnections(self)
        with open(os.path.join(spool, "state"), "rb") as file:
            self._state = mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ)

    @property
    def recording(self) -> bool:
        """Tell whether a sample is being taken in the session."""
        return self._state[0] != IDLE

    @property
    def asking(self) -> Asking | None:
        """Asks the session, where it wants to be asked."""
        if self._state[0] not in (ASKED, ANSWERED):
            return None
        if self._asking is None:
            from pytest_tokenbudget.capture.children.asking import Asking

            self._asking = Asking(self._questions)
        return self._asking

    answerer = asking

    @property
    def replays(self) -> bool:
        """Tell whether the session answers model calls by a script or a recording."""
        return self._state[0] == ANSWERED

    def watch_begins(self, running: Mapping[ExchangeBuilder, int]) -> None:
        """Do nothing: this process belongs to the session as a whole, and nothing was watched before."""

    def outside_of(self, library: Library, request: Any) -> str:
        """Say that the session decides whose call it is."""
        return ""

    def running(self) -> Iterable[ExchangeBuilder]:
        """The exchanges that have not ended."""
        return tuple(self._begun.values())

    def begin(self, builder: ExchangeBuilder) -> ExchangeBuilder:
        """Begin an exchange; the session may know of it from here on."""
        builder.number = next(self._numbers)
        self._begun[builder.number] = builder
        if self._state[0] == WATCHED:
            self._write_begin(builder)
            # Writing is not a part of the call.
            builder.started = self.clock()
        return builder

    def _write_begin(self, builder: ExchangeBuilder) -> None:
        from pytest_tokenbudget.capture.children.exchange_frames import begin_frame

        self._written[builder.number] = builder.request
        self._append(begin_frame(builder.exchange(builder.started)))

    def forget(self, builder: ExchangeBuilder) -> None:
        """Drop an exchange whose request was refused and never left."""
        self._begun.pop(builder.number, None)

    def ended(self, builder: ExchangeBuilder) -> None:
        """Write an exchange that ended; one that the session itself has answered is in its books already."""
        if self._begun.pop(builder.number, None) is None or builder.answer is not None:
            return
        from pytest_tokenbudget.capture.children.exchange_frames import end_frame

        # Not written where the session was asked about it; written anew where another request took its place.
        if self._written.pop(builder.number, None) is not builder.request:
            self._write_begin(builder)
            self._written.pop(builder.number, None)
        self._append(end_frame(builder.exchange(builder.ended)))

    # The garbage collector may call it at any time, in any thread; nothing here takes a lock.
    abandoned = ended

    def open_span(self, path: str) -> OpenSpan | None:
        """Open a stage's span; whoever opened the stage closes it."""
        if not self.recording:
            return None
        return _WrittenSpan(path, self.clock, next(self._numbers), self._append)

    def note(self, text: str) -> None:
        """Tell the session a note for the reader."""
        if self.recording:
            self.append({"note": text})

    def write_what_runs(self) -> None:
        """Write what is under way when the process ends: streams that nobody closed."""
        for builder in list(self._begun.values()):
            builder.abandon()

    def in_forked_child(self) -> ChildRecorder:
        """The recorder of a process that was forked from this one; nothing that is under way here is its own."""
        return ChildRecorder(
            self._spool, new_path(self._spool), request_usage=self.request_usage, questions=self._questions
        )

    def append(self, head: dict[str, Any]) -> None:
        """Write something that has no blob."""
        self._append(encode(head))

    def _append(self, frame: bytes) -> None:
        # Opened for each frame: a process that becomes a daemon closes what is open. Where the session has ended and
        # taken the directory away, nobody wants to know any more.
        with suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, frame)
            finally:
                os.close(file)


class ChildConnections(ConnectionLog):
    """The connections of this process that belong to no watched client: the session decides, and is told."""

    def __init__(self, recorder: ChildRecorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._busy = threading.local()

    def check(self, host: str, port: int | None, opened_by: Callable[[], str]) -> None:
        """Refuse a connection where the session does; see :meth:`ConnectionLog.check`."""
        # Where there are no Unix sockets, asking opens a connection itself.
        if self._recorder.asking is None or getattr(self._busy, "asking", False):
            return
        self._busy.asking = True
        try:
            self._recorder.asking.check_connection(host, port, opened_by())
        finally:
            self._busy.asking = False

    def note(self, host: str, port: int | None, opened_by: Callable[[], str]) -> None:
        """Tell the session about a connection that belongs to no watched client."""
        self._recorder.append({"connection": [host, port, opened_by()]})


class _WrittenSpan(OpenSpan):
    """A time in which a stage is open, written when it begins and when it ends."""

    __slots__ = ("_append", "_number")

    def __init__(self, stage: str, clock: Callable[[], float], number: int, append: Callable[[bytes], None]) -> None:
        super().__init__(stage, clock)
        self._number = number
        self._append = append
        append(encode({"opened": number, "stage": stage, "at": self.started}))

    def close(self) -> None:
        """Note that the stage was closed."""
        super().close()
        self._append(encode({"closed": self._number, "at": self.ended}))


def new_path(spool: str) -> str:
    """A file for this process in the spool; the system may give a process id a second time."""
    return os.path.join(spool, f"{os.getpid()}-{time.time_ns()}{SUFFIX}")


def watch(spool: str, path: str) -> None:
    """Watch this process until it ends; it writes into a file of the session's directory."""
    if not os.path.basename(path).startswith(f"{os.getpid()}-"):
        path = new_path(spool)  # it was forked while it waited for something to watch (a worker of a server)
    with open(os.path.join(spool, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    recorder = ChildRecorder(
        spool, path, request_usage=config["request_usage"], questions=Address(*config["questions"])
    )
    rules = []
    if config["function_stages"]:
        from pytest_tokenbudget.capture.stage_rules import StageRule

        rules = [StageRule(*rule) for rule in config["function_stages"]]
    take_over(recorder, rules=rules)
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _mine() -> list[ChildRecorder]:
    return [recorder for recorder in ACTIVE.recorders if isinstance(recorder, ChildRecorder)]


def _at_exit() -> None:
    for recorder in _mine():
        recorder.write_what_runs()


def _after_fork() -> None:
    for recorder in _mine():
        take_over(recorder.in_forked_child())
