"""The directory that a session shares with its child processes: what they are told, and where they write."""

from __future__ import annotations

import json
import mmap
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

# The session says in the one byte of the file ``state``:
IDLE = 0
"""No sample is being taken: nothing is recorded."""

WATCHED = 1
"""A sample is being taken: calls are recorded."""

ASKED = 2
"""A sample is being taken, and the session is asked about each request before it leaves."""

ANSWERED = 3
"""A sample is being taken, the session is asked, and it answers model calls: by a script or a recording."""

SUFFIX = ".spool"
"""The end of the name of a child's file."""

_TICK_NS = 2_000_000_000
"""The coarsest clock of a file system, ns."""

_LONGEST_UNIX_PATH = 100
"""Bytes; systems allow 104 to 108 (``man 7 unix``)."""


class Address(NamedTuple):
    """The address at which a session listens, and the secret that a child shows first.

    Attributes:
        place: Path of a Unix socket, or the port on 127.0.0.1.
        secret: The secret, in hex.
    """

    place: str | int
    secret: str


class SpoolDirectory:
    """A private directory with a file for each child process: only the user can look into its ``path``."""

    def __init__(self) -> None:
        from tempfile import mkdtemp

        self.path = Path(mkdtemp(prefix="tokenbudget-"))
        self._files: list[str] = []
        self._listed = 0
        (self.path / "state").write_bytes(bytes([IDLE]))
        with (self.path / "state").open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 1)

    def announce(self, config: dict[str, Any], *, package: str, wanted: Iterable[str]) -> None:
        """Write down what children are told: what to wait for, where our package is, and how to watch."""
        start = [str(os.getpid()), package, " ".join(sorted(wanted))]
        (self.path / "start").write_text("\n".join(start), encoding="utf-8")
        (self.path / "config.json").write_text(json.dumps(config), encoding="utf-8")

    @property
    def socket_path(self) -> str:
        """The path of a Unix socket; ``""`` where the system has none, or the path is too long for it."""
        import socket

        path = str(self.path / "socket")
        return path if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= _LONGEST_UNIX_PATH else ""

    @property
    def state(self) -> int:
        """The state of the session that its children read."""
        return self._state[0]

    @state.setter
    def state(self, state: int) -> None:
        self._state[0] = state

    def files(self) -> list[str]:
        """The names of the children's files, in the order in which they came."""
        changed = os.stat(self.path).st_mtime_ns
        if changed != self._listed:
            names = [name for name in os.listdir(self.path) if name.endswith(SUFFIX)]
            self._files += sorted(set(names).difference(self._files))
            # What comes in the same tick of the file system's clock leaves the same time.
            self._listed = changed if time.time_ns() - changed > _TICK_NS else 0
        return self._files

    def close(self) -> None:
        """Tell the children that nobody wants to know any more, and remove everything."""
        from shutil import rmtree

        self.state = IDLE
        self._state.close()
        rmtree(self.path, ignore_errors=True)
