"""Reads HTTP/1.1 as far as a proxy needs it: heads, and where bodies end (RFC 9112, read 2026-11-28)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

RECEIVE = (1 << 17) - 4096
"""Bytes that are read at once: a body of 64 KB with its head, and no more than is allocated cheaply."""

MOST_HEAD = 1 << 18
"""Bytes of a head, at most."""

Pairs = list[tuple[str, str]]


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

    def pieces(self, framing: Framing) -> Iterator[bytes]:
        """Read a body as it comes, in the bytes of the wire; what follows it is kept for the next message.

        Raises:
            OSError: If the connection breaks before the end of the body.
            ProtocolError: If the framing is broken.
        """
        while not framing.complete:
            data, self._buffer = self._buffer or self._receive(), b""
            if not data:
                framing.closed()
                return
            self._buffer = framing.feed(data)
            yield data[: len(data) - len(self._buffer)] if self._buffer else data

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


def request_framing(head: Head) -> Framing:
    """Tell where the body of a request ends."""
    if head.is_chunked:
        return Chunked()
    return Counted(head.length or 0)


def response_framing(head: Head, method: str) -> Framing:
    """Tell where the body of a response ends."""
    status = int(head.start[1]) if head.start[1].isdecimal() else 0
    if method == "HEAD" or status in (204, 304) or 100 <= status < 200:
        return Counted(0)
    if head.is_chunked:
        return Chunked()
    return Closed() if head.length is None else Counted(head.length)


@dataclass(slots=True)
class Framing:
    """Finds the end of a body, and its payload.

    Attributes:
        complete: Whether the end was reached.
        payload: The pieces of the body itself that the last :meth:`feed` found.
    """

    complete: bool = False
    payload: list[bytes] = field(default_factory=list)

    def feed(self, data: bytes) -> bytes:
        """Take what was read; give back what comes after the body."""
        raise NotImplementedError

    def closed(self) -> None:
        """The peer closed the connection: an error where the body was not complete."""
        raise ConnectionResetError("closed in the middle of a body")


@dataclass(slots=True)
class Counted(Framing):
    """A body of a known length."""

    left: int = 0

    def __init__(self, length: int) -> None:
        Framing.__init__(self, complete=length == 0)
        self.left = length

    def feed(self, data: bytes) -> bytes:
        """Take what was read; give back what comes after the body."""
        mine, rest = data[: self.left], data[self.left :]
        self.left -= len(mine)
        self.complete = self.left == 0
        self.payload = [mine] if mine else []
        return rest


@dataclass(slots=True)
class Closed(Framing):
    """A body that ends with its connection."""

    def feed(self, data: bytes) -> bytes:
        """Take what was read; nothing comes after the body."""
        self.payload = [data]
        return b""

    def closed(self) -> None:
        """The body is complete."""
        self.complete = True


@dataclass(slots=True)
class Chunked(Framing):
    """A body in chunks."""

    _line: bytes = b""
    _left: int = 0
    _in_chunk: bool = False
    _in_trailer: bool = False

    def feed(self, data: bytes) -> bytes:
        """Take what was read; give back what comes after the body."""
        self.payload = []
        data, self._line = self._line + data, b""
        while data and not self.complete:
            if self._in_chunk:
                data = self._chunk(data)
                continue
            line, end, rest = data.partition(b"\r\n")
            if not end:
                self._line = data
                return b""
            data = rest
            self._take_line(line)
        return data

    def _chunk(self, data: bytes) -> bytes:
        mine = data[: self._left]
        if mine:
            self.payload.append(mine)
        self._left -= len(mine)
        self._in_chunk = self._left > 0
        return data[len(mine) :]

    def _take_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.complete = not line
        elif line:  # an empty one stands behind each chunk
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError:
                raise ProtocolError(f"no length of a chunk: {line[:20]!r}") from None
            self._in_chunk, self._in_trailer = self._left > 0, self._left == 0


def head_bytes(start: str, headers: Pairs) -> bytes:
    """A head on the wire, with the empty line at its end."""
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
