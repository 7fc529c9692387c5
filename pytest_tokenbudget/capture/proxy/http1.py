"""Reads HTTP/1.1 as far as a proxy needs it: heads, and where bodies end (RFC 9112, read 2026-11-28)."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

RECEIVE = (1 << 17) - 4096
"""Bytes that are read at once: a body of 64 KB with its head, and no more than is allocated cheaply."""

MOST_HEAD = 1 << 18
"""Bytes of a head, at most."""

Pairs = list[tuple[str, str]]
Framing: TypeAlias = int | Literal["chunked", "until closed"]
"""How the end of a body is found: by its length, its chunks, or the end of its connection."""


class ProtocolError(ValueError):
    """A peer sent something that is no HTTP/1.1."""


class Head:
    """The head of a request or of a response; each is read once and asked often.

    Attributes:
        start: The three parts of the first line.
        headers: Header pairs in order, with names as they were sent.
        pairs: The same, with names in lower case.
    """

    __slots__ = ("_first", "headers", "pairs", "start")

    def __init__(self, start: tuple[str, str, str], headers: Pairs) -> None:
        self.start = start
        self.headers = headers
        self.pairs = tuple([(name.lower(), value) for name, value in headers])
        self._first = dict(reversed(self.pairs))

    def get(self, name: str) -> str:
        """The value of a header (name in lower case), ``""`` where it is not there."""
        return self._first.get(name, "")

    @property
    def is_chunked(self) -> bool:
        """Tell whether the body comes in chunks."""
        coding = self._first.get("transfer-encoding")
        return coding is not None and coding.lower().rpartition(",")[2].strip() == "chunked"

    @property
    def length(self) -> int | None:
        """The body's length, ``None`` where none is told; raises ``ProtocolError`` where it is no number."""
        told = self.get("content-length")
        if told and not told.isdecimal():
            raise ProtocolError(f"content-length: {told[:50]}")
        return int(told) if told else None

    @property
    def closes(self) -> bool:
        """Tell whether the connection ends with this message."""
        connection = self.get("connection").lower()
        old = "HTTP/1.0" in self.start
        return "close" in connection or (old and "keep-alive" not in connection)


class Wire:
    """A socket with what was read from it and not used yet.

    Attributes:
        socket: The socket; where it has a timeout, that is how often :attr:`while_waiting` is called.
        while_waiting: Called again and again while nothing comes from the peer; may raise.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.while_waiting: Callable[[], None] | None = None
        self._buffer = b""

    def _receive(self) -> bytes:
        while True:
            try:
                return self.socket.recv(RECEIVE)
            except TimeoutError:
                if self.while_waiting is not None:
                    self.while_waiting()

    def head(self) -> Head | None:
        """Read a head; ``None`` where the peer has closed the connection between two messages.

        Raises:
            OSError: If the connection breaks.
            ProtocolError: If it is no head.
        """
        end = self._buffer.find(b"\r\n\r\n")
        while end < 0:
            if len(self._buffer) > MOST_HEAD:
                raise ProtocolError("the head is too long")
            data = self._receive()
            if not data:
                if self._buffer.strip():
                    raise ConnectionResetError("closed in the middle of a head")
                return None
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
        text, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return parse_head(text.lstrip(b"\r\n"))

    def body(self, framing: Framing) -> Iterator[tuple[bytes, list[bytes]]]:
        """Read a body as it comes: the bytes of the wire and the pieces of the body in them; what follows is kept.

        Raises:
            OSError: If the connection breaks before the end of the body.
            ProtocolError: If the framing is broken.
        """
        if framing == "chunked":
            yield from self._chunks()
            return
        left = math.inf if framing == "until closed" else framing
        while left:
            data, self._buffer = self._buffer or self._receive(), b""
            if not data:
                if framing == "until closed":
                    return
                raise ConnectionResetError("closed in the middle of a body")
            if len(data) > left:
                data, self._buffer = data[: int(left)], data[int(left) :]
            left -= len(data)
            yield data, [data]

    def _chunks(self) -> Iterator[tuple[bytes, list[bytes]]]:
        half_a_line, left, in_trailer, complete = b"", 0, False, False
        while not complete:
            received, self._buffer = self._buffer or self._receive(), b""
            if not received:
                raise ConnectionResetError("closed in the middle of a body")
            data, half_a_line = half_a_line + received, b""
            payload = []
            while data and not complete:
                if left:
                    payload.append(data[:left])
                    data, left = data[left:], left - len(payload[-1])
                    continue
                line, end, rest = data.partition(b"\r\n")
                if not end:
                    half_a_line, data = data, b""
                    break
                data = rest
                if in_trailer:
                    complete = not line
                elif line:  # an empty one stands behind each chunk
                    left = _length_of_chunk(line)
                    in_trailer = not left
            self._buffer = data
            yield received[: len(received) - len(data)], payload

    @property
    def has_read_ahead(self) -> bool:
        """Tell whether something was read that belongs to the next message."""
        return bool(self._buffer)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


def parse_head(text: bytes) -> Head:
    """Parse a head without the empty line at its end; raises ``ProtocolError`` where it is none."""
    first, *lines = text.decode("latin-1").split("\r\n")
    start = first.split(" ", 2)
    if len(start) == 2 and start[0].startswith("HTTP/"):
        start.append("")
    if len(start) != 3 or "HTTP/1." not in first:
        raise ProtocolError(f"no first line of HTTP/1.1: {first[:50]!r}")
    headers: Pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name[0].isspace() or name[-1].isspace():
            raise ProtocolError(f"no header: {line[:50]!r}")
        headers.append((name, value.strip()))
    return Head((start[0], start[1], start[2]), headers)


def _length_of_chunk(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise ProtocolError(f"no length of a chunk: {line[:20]!r}") from None


def request_framing(head: Head) -> Framing:
    """Tell where the body of a request ends."""
    return "chunked" if head.is_chunked else head.length or 0


def response_framing(head: Head, method: str) -> Framing:
    """Tell where the body of a response ends."""
    status = int(head.start[1]) if head.start[1].isdecimal() else 0
    if method == "HEAD" or status in (204, 304) or 100 <= status < 200:
        return 0
    if head.is_chunked:
        return "chunked"
    return "until closed" if head.length is None else head.length


def head_bytes(start: str, headers: Pairs) -> bytes:
    """A head on the wire, with the empty line at its end."""
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
