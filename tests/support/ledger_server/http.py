"""Just enough of HTTP/1.1: keep-alive, bodies by length or in chunks, answers whole or in chunks."""

from __future__ import annotations

import contextlib
import gzip
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that was read whole; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection of a client."""

    def __init__(self, sock: socket.socket) -> None:
        # Without this the second small packet of an answer waits up to 40 ms for the client's delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._reader = sock.makefile("rb", buffering=65536)

    def read(self) -> HttpRequest | None:
        """The next request, ``None`` when the client has gone."""
        start = self._reader.readline().decode("latin-1").split()
        if len(start) < 3:
            return None
        headers: dict[str, str] = {}
        while (raw := self._reader.readline().strip()) != b"":
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return HttpRequest(start[0], start[1], headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self._reader.readline().split(b";")[0], 16):
                chunks.append(self._reader.read(size))
                self._reader.readline()
            self._reader.readline()
            body = b"".join(chunks)
        else:
            body = self._reader.read(int(headers.get("content-length") or 0))
        return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body

    def send_whole(self, status: int, headers: list[tuple[str, str]], body: bytes, *, keep: int | None = None) -> None:
        """Send an answer in one piece; ``keep`` sends only so many bytes of the body that was announced."""
        head = _head(status, [*headers, ("content-length", str(len(body)))])
        self._socket.sendall(head + (body if keep is None else body[:keep]))

    def send_head(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Begin an answer in chunks."""
        self._socket.sendall(_head(status, [*headers, ("transfer-encoding", "chunked")]))

    def send_chunk(self, chunk: bytes) -> None:
        """Send one chunk at once; an empty one ends the answer."""
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def close(self) -> None:
        """Break the connection; the client sees it at once."""
        with contextlib.suppress(OSError):  # the client was faster
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.close()
        self._socket.close()


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
