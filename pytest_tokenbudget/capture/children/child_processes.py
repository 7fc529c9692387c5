"""The child processes of a test session: what they are started with, and what they saw of each sample."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_tokenbudget
from pytest_tokenbudget.capture.children.spool_directory import ANSWERED, ASKED, IDLE, WATCHED, Address, SpoolDirectory
from pytest_tokenbudget.capture.children.started import StartedProcesses, with_descendants
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import CLIENTS

if TYPE_CHECKING:
    # Most samples start no process; what reads and answers children is imported with the first that does.
    from pytest_tokenbudget.capture.children.answering import Answering
    from pytest_tokenbudget.capture.children.spool import Spool
    from pytest_tokenbudget.capture.stage_rules import StageRule

_LOOK_SECONDS = 0.02
"""The least time, s, between two looks for processes that the started ones have started."""

SPOOL = "TOKENBUDGET_SPOOL"
"""Environment variable: the directory of the session that a process belongs to."""

ON_PATH = str(Path(__file__).with_name("on_path"))
"""The folder that stands in front of ``PYTHONPATH``; its ``sitecustomize`` runs in every Python that is started."""


class ChildProcesses:
    """Watches the child processes of a session, as long as they are started while it is :meth:`begin`-ned.

    Args:
        rules: Stages by configuration; functions that they name open their stage in children too.
        request_usage: Whether OpenAI-style streams are asked for their usage.
    """

    def __init__(self, *, rules: Sequence[StageRule] = (), request_usage: bool = False) -> None:
        self._pid = os.getpid()
        self._request_usage = request_usage
        self._rules = [rule for rule in rules if rule.kind == "function"]
        self._directory = SpoolDirectory()
        self._started = StartedProcesses(self.environment, self._answer)
        self._before: dict[str, str | None] | None = None
        self._since = 0.0
        self._time_at: Callable[[float], float] | None = None
        self._recorder: Recorder | None = None
        self._asks = False
        self._forked = False
        self._at_work: frozenset[int] = frozenset()
        self._looked_at = 0.0
        self._let_out: list[tuple[str, bytes | None]] = []
        self._spool: Spool | None = None
        self._answering: Answering | None = None
        self._address = Address(self._directory.socket_path, secrets.token_hex(16))
        self._lock = threading.RLock()
        if not self._address.place:  # a port is known only when somebody listens there
            self._address = self._listening().address
        wanted = {*CLIENTS, "pytest_tokenbudget"}
        for rule in self._rules:
            names = rule.pattern.split(".")
            wanted |= {".".join(names[:length]) for length in range(1, len(names))}
        self._directory.announce(
            {
                "request_usage": request_usage,
                "questions": list(self._address),
                "function_stages": [[rule.stage, rule.kind, rule.pattern] for rule in self._rules],
            },
            package=str(Path(pytest_tokenbudget.__file__).parent),
            wanted=wanted,
        )

    def begin(self) -> None:
        """Have every process that is started from now on watched."""
        if self._before is None and os.getpid() == self._pid:
            made = self.environment(os.environ)
            self._before = {name: os.environ.get(name) for name in ("PYTHONPATH", SPOOL)}
            os.environ |= {name: made[name] for name in self._before}
            self._started.begin()
            _BEGUN.append(self)

    def end(self) -> None:
        """Have processes that are started from now on left alone; those that run already go on being watched."""
        if self._before is None or os.getpid() != self._pid:
            return
        _BEGUN.remove(self)
        self._started.end()
        for name, value in self._before.items():
            # Whoever has changed it meanwhile knows why.
            if os.environ.get(name) == self.environment({} if value is None else {name: value})[name]:
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        self._before = None

    def close(self) -> None:
        """End it all, and remove what was written."""
        if os.getpid() == self._pid:  # it is no fork of the session
            self.end()
            if self._answering is not None:
                self._answering.close()
            self._directory.close()

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """An environment with what a child needs."""
        paths = given.get("PYTHONPATH", "")
        if ON_PATH not in paths.split(os.pathsep):
            paths = os.pathsep.join([ON_PATH, paths]) if paths else ON_PATH
        return {**given, "PYTHONPATH": paths, SPOOL: str(self._directory.path)}

    def _listening(self) -> Answering:
        """What answers the questions of children; it listens from the first time on."""
        from pytest_tokenbudget.capture.children.answering import Answering

        if self._answering is None:
            self._answering = Answering(self._address, self._let_out)
        return self._answering

    def _answer(self) -> None:
        """Answer questions from now on, where the sample wants that: a child is there, or is about to be started."""
        with self._lock:
            if self._asks and self._recorder is not None:
                self._listening().begin(self._recorder)

    def before_fork(self) -> None:
        """This process is about to be forked."""
        if os.getpid() == self._pid:
            self._forked = True
            self._answer()

    def in_forked_child(self) -> None:
        """This process was forked from the session: it is a child now."""
        from pytest_tokenbudget.capture.children.child import ChildRecorder, new_path
        from pytest_tokenbudget.capture.watch import take_over

        self._lock = threading.RLock()  # a thread that does not exist here may have held it
        if self._answering is not None:
            self._answering.in_forked_child()
        spool = str(self._directory.path)
        recorder = ChildRecorder(spool, new_path(spool), request_usage=self._request_usage, questions=self._address)
        take_over(recorder, rules=self._rules)

    @contextmanager
    def sample(self, recorder: Recorder, *, time_at: Callable[[float], float] | None = None) -> Iterator[None]:
        """Have children record, or ask about, their calls for a sample.

        Args:
            recorder: The sample's recorder; it is given what the children saw.
            time_at: Gives the time on the sample's clock from that of ``time.perf_counter``, where they differ.
        """
        seen = self.seen()
        if seen is not None:
            seen.forget()
        self._since, self._time_at, self._looked_at = time.perf_counter(), time_at, 0.0
        if seen is not None:
            seen.belongs_to(self._since, time_at)
        self._started.started.clear()
        self._let_out.clear()
        self._recorder = recorder
        recorder.elsewhere = self.seen
        self._asks = recorder.answerer is not None or recorder.before_send is not None
        # Without fork, multiprocessing starts processes in ways that are not noticed.
        if self._forked or not hasattr(os, "fork") or (seen is not None and any(child.runs for child in seen.children)):
            self._answer()
        self._directory.state = ANSWERED if recorder.replays else ASKED if self._asks else WATCHED
        try:
            yield
        finally:
            self._directory.state = IDLE
            with self._lock:
                self._asks, self._recorder = False, None
            if self._answering is not None:
                self._answering.end()

    @contextmanager
    def started_by_shared_fixture(self) -> Iterator[None]:
        """Have processes that are started in the meantime watched, but nothing recorded: that belongs to no test."""
        left_alone, state = self._before is None, self._directory.state
        self.begin()
        self._directory.state = IDLE
        try:
            yield
        finally:
            self._directory.state = state
            if left_alone:
                self.end()

    def at_work(self) -> frozenset[int]:
        """Ids of the processes for whose rest a replay waits: those of this sample, and those that have asked in it."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            self._at_work = with_descendants(process.pid for process in self._started.started if process.pid)
        return self._at_work if self._answering is None else self._answering.asked_by | self._at_work

    def seen(self) -> Spool | None:
        """What children have written; ``None`` as long as none has said that it is there."""
        with self._lock:
            if self._spool is None and self._directory.files():
                from pytest_tokenbudget.capture.children.spool import Spool

                self._spool = Spool(self._directory, self._let_out)
                self._spool.belongs_to(self._since, self._time_at)
            return self._spool

    def settle(self) -> None:
        """Give calls that are under way in children a moment to end, where the sample is about to be read."""
        seen, recorder = self.seen(), self._recorder
        if seen is not None and recorder is not None:
            seen.settle()
            for host, port, opened_by in seen.connections:
                recorder.connections.note(host, port, partial(str, f"a child process ({opened_by})"))
            seen.connections.clear()

    def notes(self) -> tuple[str, ...]:
        """Say which of this sample's processes could not be watched."""
        seen, started = self.seen(), self._started.may_call_models()
        if seen is None and not started:
            return ()
        from pytest_tokenbudget.capture.children.unwatched import child_notes

        forwarded = 0 if self._recorder is None else self._recorder.forwarded
        children, notes = ((), ()) if seen is None else (seen.children, seen.notes)
        return (*notes, *child_notes(children, started, since=self._since, forwarded=forwarded))


_BEGUN: list[ChildProcesses] = []
"""Those that are told about forks; where sessions are nested, the innermost is told alone."""


def _before_fork() -> None:
    if _BEGUN:
        _BEGUN[-1].before_fork()


def _in_forked_child() -> None:
    begun = _BEGUN[-1:]
    _BEGUN.clear()
    for children in begun:
        children.in_forked_child()


# Python cannot be told to forget who wants to know about forks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_forked_child)
