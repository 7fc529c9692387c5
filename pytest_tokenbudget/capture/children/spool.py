"""Reads what the child processes of a session write into its spool directory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.children.exchange_frames import begun_exchange, ended_exchange
from pytest_tokenbudget.capture.children.frames import BrokenFile, Frame, decode
from pytest_tokenbudget.capture.children.spool_directory import SpoolDirectory
from pytest_tokenbudget.capture.recorder import same_request
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.sample import Span

SETTLE_SECONDS = 0.25
"""The time, s, that a sample waits at its end for calls that are under way in a child that still runs."""


_MOST = 10**9
"""Exchanges of one process, at most: their numbers are made unique with it."""


@dataclass(slots=True)
class ChildProcess:
    """A child process, as its file describes it.

    Attributes:
        pid: Its process id.
        ancestors: Ids of the processes above it, nearest first, as far as they were looked up.
        python: Its version of Python, ``"3.11"``; ``""`` where it was forked and says none.
        command: Its command line.
        problem: Why it is not watched, ``""`` where it is.
        first_seen: When its file was first read, s on the clock of ``time.perf_counter``.
    """

    pid: int
    ancestors: tuple[int, ...] = ()
    python: str = ""
    command: tuple[str, ...] = ()
    problem: str = ""
    first_seen: float = 0.0

    @property
    def runs(self) -> bool:
        """Tell whether it still runs; one that has ended and that nobody waited for counts too."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return True


@dataclass(slots=True)
class _File:
    """A child's file while it is read.

    Attributes:
        path: Its path.
        child: The process.
        base: What is added to the numbers of its exchanges.
        size: Bytes that were read; -1 where the file holds something else than frames.
        begun: Exchanges that are under way, by number.
        sent: The URLs to which they were sent, where :attr:`begun` has those that are meant.
        opened: Stages that are open, with their start.
    """

    path: Path
    child: ChildProcess
    base: int
    size: int = 0
    begun: dict[int, Exchange] = field(default_factory=dict)
    sent: dict[int, str] = field(default_factory=dict)
    opened: dict[int, tuple[str, float]] = field(default_factory=dict)


class Spool:
    """What child processes have written, and what of it belongs to the sample that is being taken.

    Args:
        directory: Where they write.
        let_out: URL and body of the requests that they were allowed to send in this sample.

    Attributes:
        ended: The exchanges that have ended since the sample began, in the order in which they were read.
        notes: What children had to say since, each once.
        connections: Host, port and opener of connections since that belong to no watched client.
    """

    def __init__(self, directory: SpoolDirectory, let_out: Sequence[tuple[str, bytes | None]] = ()) -> None:
        self.ended: list[Exchange] = []
        self.notes: dict[str, None] = {}
        self.connections: list[tuple[str, int | None, str]] = []
        self._directory = directory
        self._let_out = let_out
        self._files: dict[str, _File] = {}
        self._spans: list[Span] = []
        self._since = 0.0
        self._time_at: Callable[[float], float] | None = None
        self._told = 0
        self._lock = threading.Lock()

    def belongs_to(self, since: float, time_at: Callable[[float], float] | None) -> None:
        """Say since when (``time.perf_counter``, s) things belong to the sample, and what its clock says then."""
        self._since, self._time_at, self._told = since, time_at, 0

    @property
    def children(self) -> tuple[ChildProcess, ...]:
        """All child processes that have said that they are there."""
        return tuple(file.child for file in self._files.values())

    def forget(self) -> None:
        """Read what was written so far, and keep only what is still under way."""
        self.read()
        self.ended.clear()
        self._spans.clear()
        self.notes.clear()
        self.connections.clear()

    def _under_way(self) -> Iterator[tuple[ChildProcess, Exchange]]:
        """Exchanges that have begun and not ended."""
        for file in tuple(self._files.values()):
            for exchange in tuple(file.begun.values()):
                yield file.child, exchange

    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges of the sample; those that are under way end now."""
        self.read()
        now = time.perf_counter()
        return self._of_sample([*self.ended, *(replace(exchange, ended=now) for _, exchange in self._under_way())])

    def newly_ended(self) -> tuple[Exchange, ...]:
        """The exchanges of the sample that have ended since the last call."""
        self.read()
        ended, self._told = self.ended[self._told :], len(self.ended)
        return self._of_sample(ended)

    def _of_sample(self, exchanges: Sequence[Exchange]) -> tuple[Exchange, ...]:
        mine, at = tuple(exchange for exchange in exchanges if exchange.started >= self._since), self._time_at
        if at is None:
            return mine
        return tuple(
            replace(
                exchange,
                started=at(exchange.started),
                ended=at(exchange.ended),
                chunk_times=tuple(map(at, exchange.chunk_times)),
            )
            for exchange in mine
        )

    def spans(self) -> tuple[Span, ...]:
        """The times of the sample in which stages were open; those still open are closed now."""
        now = time.perf_counter()
        opened = [Span(stage, at, now) for file in self._files.values() for stage, at in file.opened.values()]
        spans = [span for span in (*self._spans, *opened) if span.ended > self._since]
        at = self._time_at or float
        return tuple(Span(span.stage, at(max(span.started, self._since)), at(span.ended)) for span in spans)

    def is_sending(self, url: str, body: bytes) -> bool:
        """Tell whether a child is sending a request with this URL and body."""
        self.read()
        sending = [
            (sent, file.begun[number].request_body)
            for file in tuple(self._files.values())
            for number, sent in tuple(file.sent.items())
        ]
        return any(same_request(url, body, *sent) for sent in (*sending, *self._let_out))

    def settle(self) -> None:
        """Give calls of the sample that are under way in running children a moment to end."""
        deadline = time.perf_counter() + SETTLE_SECONDS
        self.read()
        while time.perf_counter() < deadline and any(
            exchange.started >= self._since and child.runs for child, exchange in self._under_way()
        ):
            time.sleep(0.005)
            self.read()

    def read(self) -> None:
        """Read what was written since the last time."""
        with self._lock:
            for name in self._directory.files()[len(self._files) :]:
                child = ChildProcess(int(name.partition("-")[0]), first_seen=time.perf_counter())
                path = self._directory.path / name
                self._files[name] = _File(path, child, base=(len(self._files) + 1) * _MOST)
            for file in self._files.values():
                if 0 <= file.size < file.path.stat().st_size:
                    self._read(file)

    def _read(self, file: _File) -> None:
        with file.path.open("rb") as opened:
            opened.seek(file.size)
            data = opened.read()
        begin = file.size
        try:
            for frame, end in decode(data):
                self._take(file, frame)
                file.size = begin + end
        except (BrokenFile, KeyError, TypeError, ValueError, AttributeError) as error:
            file.child.problem = f"what it wrote cannot be read ({error})"
            file.size = -1

    def _take(self, file: _File, frame: Frame) -> None:
        head, blob = frame
        if "begin" in head:
            exchange = begun_exchange(head, blob, base=file.base)
            file.sent[head["begin"]] = exchange.url
            url, stage = ACTIVE.meant_address(exchange.url, exchange.stage)
            file.begun[head["begin"]] = replace(exchange, url=url, stage=stage)
        elif "end" in head:
            file.sent.pop(head["end"], None)
            self.ended.append(ended_exchange(file.begun.pop(head["end"]), head, blob))
        elif "opened" in head:
            file.opened[head["opened"]] = (str(head["stage"]), float(head["at"]))
        elif "closed" in head:
            stage, started = file.opened.pop(head["closed"])
            self._spans.append(Span(stage, started, float(head["at"])))
        elif "connection" in head:
            host, port, opened_by = head["connection"]
            self.connections.append((str(host), port, str(opened_by)))
        elif "note" in head:
            self.notes[str(head["note"])] = None
        elif "problem" in head:
            file.child.problem = _from_hex(head["problem"])
        elif "python" in head:
            file.child = replace(
                file.child,
                ancestors=tuple(map(int, head["ancestors"])),
                python=str(head["python"]),
                command=tuple(_from_hex(head["command"]).split("\0")),
            )


def _from_hex(text: str) -> str:
    return bytes.fromhex(text).decode("utf-8", "replace")
