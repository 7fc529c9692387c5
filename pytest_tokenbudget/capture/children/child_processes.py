"""The child processes of a test session: what they are started with, and what they saw of each sample."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest_tokenbudget
from pytest_tokenbudget.capture.children.answering import Answering
from pytest_tokenbudget.capture.children.child import ChildRecorder, new_path
from pytest_tokenbudget.capture.children.protocol import ANSWERED, ASKED, IDLE, WATCHED
from pytest_tokenbudget.capture.children.spool import Spool
from pytest_tokenbudget.capture.children.started import StartedProcesses, child_notes, with_descendants
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage_rules import StageRule
from pytest_tokenbudget.capture.watch import CLIENTS, take_over
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.sample import Span


class Forked(Protocol):
    """An object that is told about forks."""

    def before_fork(self) -> None:
        """Take note that this process is about to be forked."""

    def in_forked_child(self) -> None:
        """Take note that this process is the fork."""


class Forks:
    """Tells the session that watches now about forks.

    Python cannot be told to forget who wants to know about forks, so there is one such object for each process.
    """

    def __init__(self) -> None:
        self._told: list[Forked] = []
        self._registered = False

    def add(self, forked: Forked) -> None:
        """Tell this one; where sessions are nested, the innermost is told alone."""
        self._told.append(forked)
        if not self._registered and hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_child=self._in_child)
            self._registered = True

    def remove(self, forked: Forked) -> None:
        """Tell it no more."""
        self._told.remove(forked)

    def _before(self) -> None:
        if self._told:
            self._told[-1].before_fork()

    def _in_child(self) -> None:
        told, self._told = self._told, []
        if told:
            told[-1].in_forked_child()


FORKS = Forks()


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
        self._spool = Spool()
        self._answering = Answering(self._spool.directory)
        self._started = StartedProcesses(self.environment, self._before_start)
        self._before: dict[str, str | None] | None = None
        self._since = 0.0
        self._time_at: Callable[[float], float] | None = None
        self._recorder: Recorder | None = None
        self._at_work: frozenset[int] = frozenset()
        self._looked_at = 0.0
        self._forked = False
        self._told = 0
        self._spool.announce(
            {
                "request_usage": request_usage,
                "questions": list(self._answering.address),
                "function_stages": [[rule.stage, rule.kind, rule.pattern] for rule in self._rules],
            },
            package=str(Path(pytest_tokenbudget.__file__).parent),
            wanted={*CLIENTS, "pytest_tokenbudget", *_prefixes(self._rules)},
        )

    def begin(self) -> None:
        """Have every process that is started from now on watched."""
        if self._before is None and self._is_mine:
            made = self.environment(os.environ)
            self._before = {name: os.environ.get(name) for name in ("PYTHONPATH", SPOOL)}
            os.environ |= {name: made[name] for name in self._before}
            self._started.begin()
            FORKS.add(self)

    def end(self) -> None:
        """Have processes that are started from now on left alone; those that run already go on being watched."""
        if self._before is None or not self._is_mine:
            return
        FORKS.remove(self)
        self._started.end()
        for name, value in self._before.items():
            # Whoever has changed it meanwhile knows why.
            if os.environ.get(name) == self.environment(_present({name: value}))[name]:
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        self._before = None

    def close(self) -> None:
        """End it all, and remove what was written."""
        if self._is_mine:
            self.end()
            self._answering.close()
            self._spool.close()

    @property
    def _is_mine(self) -> bool:
        """Tell whether this is the session's process, and not one that was forked from it."""
        return os.getpid() == self._pid

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """An environment with what a child needs."""
        paths = given.get("PYTHONPATH", "")
        if ON_PATH not in paths.split(os.pathsep):
            paths = os.pathsep.join([ON_PATH, paths]) if paths else ON_PATH
        return {**given, "PYTHONPATH": paths, SPOOL: str(self._spool.directory)}

    def _before_start(self) -> None:
        """A process is about to be started; it may ask."""
        self._answering.start()

    def before_fork(self) -> None:
        """This process is about to be forked."""
        if self._is_mine:
            self._forked = True
            self._answering.start()

    def in_forked_child(self) -> None:
        """This process was forked from the session: it is a child now."""
        self._answering.in_forked_child()
        spool = str(self._spool.directory)
        recorder = ChildRecorder(
            spool, new_path(spool), request_usage=self._request_usage, questions=self._answering.address
        )
        take_over(recorder, rules=self._rules)

    @contextmanager
    def sample(self, recorder: Recorder, *, time_at: Callable[[float], float] | None = None) -> Iterator[None]:
        """Have children record, or ask about, their calls for a sample.

        Args:
            recorder: The sample's recorder; it is given what the children saw.
            time_at: Gives the time on the sample's clock from that of ``time.perf_counter``, where they differ.
        """
        self._time_at = time_at
        self._spool.forget()
        self._started.started.clear()
        self._looked_at = 0.0
        self._told = 0
        self._since = time.perf_counter()
        self._recorder = recorder
        recorder.elsewhere = self
        asked = recorder.answerer is not None or recorder.before_send is not None
        if asked:
            self._answering.begin(recorder)
            # Without fork, multiprocessing starts processes in ways that are not noticed.
            if self._forked or not hasattr(os, "fork") or any(child.runs for child in self._spool.children):
                self._answering.start()
        self._spool.state = ANSWERED if recorder.replays else ASKED if asked else WATCHED
        try:
            yield
        finally:
            self._spool.state = IDLE
            self._answering.end()
            self._recorder = None

    @contextmanager
    def started_by_shared_fixture(self) -> Iterator[None]:
        """Have processes that are started in the meantime watched, but nothing recorded: that belongs to no test."""
        left_alone, state = self._before is None, self._spool.state
        self.begin()
        self._spool.state = IDLE
        try:
            yield
        finally:
            self._spool.state = state
            if left_alone:
                self.end()

    def at_work(self) -> frozenset[int]:
        """Ids of the processes for whose rest a replay waits: those of this sample, and those that have asked in it."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            self._at_work = with_descendants(process.pid for process in self._started.started if process.pid)
        return self._answering.asked_by | self._at_work

    def settle(self) -> None:
        """Give calls that are under way in children a moment to end, where the sample is about to be read."""
        self._spool.settle(since=self._since)
        recorder = self._recorder
        for host, port, opened_by in self._spool.connections:
            if recorder is not None:
                recorder.connections.note(host, port, partial(str, f"a child process ({opened_by})"))
        self._spool.connections.clear()

    def exchanges(self, now: float) -> tuple[Exchange, ...]:
        """The exchanges of the children that began in this sample, those that are under way included.

        Args:
            now: s on the sample's clock.
        """
        self._spool.read()
        running = [replace(exchange, ended=time.perf_counter()) for _, exchange in self._spool.under_way()]
        return self._of_sample([*self._spool.ended, *running])

    def _of_sample(self, exchanges: Sequence[Exchange]) -> tuple[Exchange, ...]:
        """Give the exchanges that began in this sample, on its clock."""
        mine = tuple(exchange for exchange in exchanges if exchange.started >= self._since)
        return mine if self._time_at is None else tuple(_on_clock(exchange, self._time_at) for exchange in mine)

    def newly_ended(self) -> tuple[Exchange, ...]:
        """The exchanges of this sample that have ended since the last call."""
        self._spool.read()
        ended, self._told = self._spool.ended[self._told :], len(self._spool.ended)
        return self._of_sample(ended)

    def is_sending(self, url: str, body: bytes) -> bool:
        """Tell whether a child is sending a request with this URL and body."""
        return self._spool.is_sending(url, body) or self._answering.has_let_out(url, body)

    def spans(self) -> tuple[Span, ...]:
        """The times in which stages were open in children; those still open are closed now."""
        now = time.perf_counter()
        spans = [*self._spool.spans, *(Span(stage, started, now) for stage, started in self._spool.open_spans())]
        mine = (
            Span(span.stage, max(span.started, self._since), span.ended) for span in spans if span.ended > self._since
        )
        at = self._time_at
        return tuple(mine if at is None else (Span(span.stage, at(span.started), at(span.ended)) for span in mine))

    def notes(self) -> tuple[str, ...]:
        """Say which of this sample's processes could not be watched."""
        forwarded = 0 if self._recorder is None else self._recorder.forwarded
        children, started = self._spool.children, self._started.started
        return (*self._spool.notes, *child_notes(children, started, since=self._since, forwarded=forwarded))


def _on_clock(exchange: Exchange, time_at: Callable[[float], float]) -> Exchange:
    return replace(
        exchange,
        started=time_at(exchange.started),
        ended=time_at(exchange.ended),
        chunk_times=tuple(map(time_at, exchange.chunk_times)),
    )


def _prefixes(rules: Sequence[StageRule]) -> set[str]:
    """The names of the modules in which the functions of rules may be."""
    parts = [rule.pattern.split(".") for rule in rules]
    return {".".join(names[:length]) for names in parts for length in range(1, len(names))}


def _present(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
