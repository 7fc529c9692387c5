"""The session's side of the spool: a private directory with a file for each child process."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.children.exchange_frames import begun_exchange, ended_exchange
from pytest_tokenbudget.capture.children.protocol import IDLE, SUFFIX, BrokenFile, Frame, decode
from pytest_tokenbudget.capture.recorder import same_request
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.sample import Span

SETTLE_SECONDS = 0.25
"""The time, s, that a sample waits at its end for calls that are under way in a child that still runs."""


_TICK_NS = 2_000_000_000
"""The coarsest clock of a file system, ns."""

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
    """Reads what the child processes of a session write.

    Attributes:
        directory: The directory; only the user can look into it.
        ended: The exchanges that have ended since the last :meth:`forget`, in the order in which they were read.
        spans: The stages that were closed since.
        notes: What children had to say since, each once.
        connections: Host, port and opener of connections since that belong to no watched client.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tokenbudget-"))
        self.ended: list[Exchange] = []
        self.spans: list[Span] = []
        self.notes: dict[str, None] = {}
        self.connections: list[tuple[str, int | None, str]] = []
        self._files: dict[str, _File] = {}
        self._listed = 0
        (self.directory / "state").write_bytes(bytes([IDLE]))
        with (self.directory / "state").open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 1)

    def announce(self, config: dict[str, Any], *, package: str, wanted: Iterable[str]) -> None:
        """Write down what children are told.

        Args:
            config: What a child needs when it begins to watch.
            package: Directory of this package.
            wanted: Full names of the modules that a child waits for.
        """
        start = [str(os.getpid()), package, " ".join(sorted(wanted))]
        (self.directory / "start").write_text("\n".join(start), encoding="utf-8")
        (self.directory / "config.json").write_text(json.dumps(config), encoding="utf-8")

    @property
    def state(self) -> int:
        """The state of the session that its children read."""
        return self._state[0]

    @state.setter
    def state(self, state: int) -> None:
        self._state[0] = state

    def close(self) -> None:
        """Tell the children that nobody wants to know any more, and remove everything."""
        self.state = IDLE
        self._state.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def children(self) -> tuple[ChildProcess, ...]:
        """All child processes that have said that they are there."""
        return tuple(file.child for file in self._files.values())

    def forget(self) -> None:
        """Read what was written so far, and keep only what is still under way."""
        self.read()
        self.ended.clear()
        self.spans.clear()
        self.notes.clear()
        self.connections.clear()

    def under_way(self) -> Iterator[tuple[ChildProcess, Exchange]]:
        """Exchanges that have begun and not ended."""
        for file in self._files.values():
            for exchange in file.begun.values():
                yield file.child, exchange

    def is_sending(self, url: str, body: bytes) -> bool:
        """Tell whether a child is sending a request with this URL and body."""
        self.read()
        return any(
            same_request(url, body, sent, file.begun[number].request_body)
            for file in self._files.values()
            for number, sent in file.sent.items()
        )

    def open_spans(self) -> Iterator[tuple[str, float]]:
        """Stages that are open, with their start."""
        for file in self._files.values():
            yield from file.opened.values()

    def settle(self, *, since: float, clock: Callable[[], float] = time.perf_counter) -> None:
        """Give calls that are under way in running children a moment to end.

        Args:
            since: Calls that began before this time are left out, s on the clock.
            clock: Real time, s.
        """
        deadline = clock() + SETTLE_SECONDS
        self.read()
        while clock() < deadline and any(
            exchange.started >= since and child.runs for child, exchange in self.under_way()
        ):
            time.sleep(0.005)
            self.read()

    def read(self) -> None:
        """Read what was written since the last time."""
        self._find_files()
        for file in self._files.values():
            if 0 <= file.size < file.path.stat().st_size:
                self._read(file)

    def _find_files(self) -> None:
        """Find the files of children that have come since the last time."""
        changed = self.directory.stat().st_mtime_ns
        if changed == self._listed:
            return
        for name in sorted(os.listdir(self.directory)):
            if name.endswith(SUFFIX) and name not in self._files:
                child = ChildProcess(int(name.partition("-")[0]), first_seen=time.perf_counter())
                self._files[name] = _File(self.directory / name, child, base=(len(self._files) + 1) * _MOST)
        # What comes in the same tick of the file system's clock leaves the same time.
        self._listed = changed if time.time_ns() - changed > _TICK_NS else 0

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
            self.spans.append(Span(stage, started, float(head["at"])))
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
