"""A loopback server that does what a test tells it, and a watch around the test."""

from __future__ import annotations

import contextlib
import importlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

for _client in ("httpx", "httpcore", "httpx2", "httpcore2"):
    # Imported before pytester takes its snapshots of sys.modules: a client that is imported anew beside an old core
    # does not know its exceptions any more.
    with contextlib.suppress(ImportError):
        importlib.import_module(_client)

from pytest_tokenbudget.capture.recorder import Recorder  # noqa: E402  # after the loop above
from pytest_tokenbudget.capture.watch import watching  # noqa: E402  # the same


@dataclass
class Script:
    """What the server answers, for every request.

    Attributes:
        status: HTTP status.
        headers: Further response headers.
        chunks: The body; sent with chunked transfer encoding, one chunk a piece, if ``chunked``.
        chunked: Whether to send it so; else in one piece with its length.
        cut: Whether to break the connection instead of ending the body.
        silent: Whether to say nothing at all until the test is over.
        hold: Index of the chunk before which the server waits for ``release``.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),)
    chunks: Sequence[bytes] = (b'{"ok": true}',)
    chunked: bool = False
    cut: bool = False
    silent: bool = False
    hold: int | None = None


@dataclass
class Server:
    """A thread that listens, and a thread a connection. ``requests`` holds request line, headers and body of each."""

    script: Script = field(default_factory=Script)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def play(self, **script: Any) -> None:
        self.script = Script(**script)

    def close(self) -> None:
        self.release.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError, ValueError):
            while (line := reader.readline()) and self._answer(connection, reader, line.decode().strip()):
                pass
        self._open.discard(connection)

    def _answer(self, connection: socket.socket, reader: Any, line: str) -> bool:
        headers = {}
        while head := reader.readline().strip():
            name, _, value = head.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if "expect" in headers:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(reader.readline(), 16):
                body += reader.read(size + 2)[:-2]
            reader.readline()
        else:
            body = reader.read(int(headers.get("content-length", 0)))
        self.requests.append((line, headers, body))
        script = self.script
        if script.silent:
            self.release.wait()
            return False
        whole = b"".join(script.chunks)
        framing = "transfer-encoding: chunked" if script.chunked else f"content-length: {len(whole)}"
        lines = [f"HTTP/1.1 {script.status} Played", framing, *(f"{name}: {value}" for name, value in script.headers)]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if not script.chunked:
            connection.sendall(whole[: len(whole) // 2] if script.cut else whole)
            return not script.cut
        for number, chunk in enumerate(script.chunks):
            if number == script.hold:
                self.release.wait()
            connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if not script.cut:
            connection.sendall(b"0\r\n\r\n")
        return not script.cut


@pytest.fixture
def server() -> Iterator[Server]:
    """A loopback server; ``server.play(...)`` says what it answers."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A recorder that watches."""
    recorder = Recorder()
    with watching(recorder):
        yield recorder


@pytest.fixture(params=["httpx", "httpx2"])
def httpx(request: pytest.FixtureRequest) -> Any:
    """Either client library."""
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed")


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Wait until something that another thread does is true, at most 5 s."""

    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.001)

    return wait
