"""A request of ``http.client`` on its way, and the response to it that is given locally."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.in_flight import InFlightRequest
from pytest_tokenbudget.capture.network import origin_of
from pytest_tokenbudget.capture.urllib3_clients import PlainRequest

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer

_FAULTS: dict[Fault, type[Exception]] = {
    "connect_timeout": TimeoutError,
    "read_timeout": TimeoutError,
    "write_timeout": TimeoutError,
    "pool_timeout": TimeoutError,
    "connect_error": ConnectionRefusedError,
}


class Sending:
    """A request on its way over one connection.

    Attributes:
        in_flight: What accompanies it.
        request: The request.
        answer: The answer that is given locally: then nothing is sent.
        held: What is to be sent once it is known that nobody answers locally; ``None`` where that is known.
        follows: Whether a body follows after the head, piece by piece.
    """

    def __init__(self, in_flight: InFlightRequest, request: PlainRequest, *, follows: bool) -> None:
        self.in_flight = in_flight
        self.request = request
        self.answer: LocalAnswer | None = None
        self.held: list[Any] | None = [] if follows and in_flight.may_be_answered else None
        self.follows = follows
        self._body: list[bytes] = []

    def takes(self, data: Any) -> bool:
        """Take note of bytes that are to be sent; whether they are kept back."""
        if self.answer is not None:
            return True
        if self.held is not None:
            self.held.append(data)
        if self.follows and isinstance(data, bytes | bytearray):
            self._body.append(bytes(data))
            self.request.body = b"".join(self._body[1:])  # the first is the head
        return self.held is not None

    def ask(self) -> None:
        """Ask for an answer that is given locally; raises the failure that is played in the place of a response."""
        self.answer = self.in_flight.ask()
        if self.answer is not None and not self.answer.status:
            raise _error_of(self.answer)


def _error_of(answer: LocalAnswer) -> Exception:
    if answer.fault == "protocol_error":
        from http.client import RemoteDisconnected

        return RemoteDisconnected(answer.says)
    return _FAULTS.get(answer.fault or "connect_error", ConnectionResetError)(answer.says)


def request_of(connection: Any, message_body: Any) -> PlainRequest:
    """The request whose head a connection has in its buffer."""
    lines = [line.decode("latin-1") for line in connection._buffer]
    method, _, rest = lines[0].partition(" ")
    target = rest.rpartition(" ")[0]
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
    scheme = "https" if connection.default_port == 443 else "http"
    host = getattr(connection, "_tunnel_host", None) or connection.host
    port = (connection._tunnel_port if connection._tunnel_host else connection.port) or connection.default_port
    # Through a proxy the target is a whole URL.
    url = target if target.startswith(("http://", "https://")) else origin_of(scheme, host, port) + target
    body = b"".join(message_body) if _is_pieces(message_body) else message_body
    return PlainRequest(method, url, headers, body)


def _is_pieces(body: Any) -> bool:
    return isinstance(body, list | tuple) and all(isinstance(piece, bytes) for piece in body)


def body_follows(request: PlainRequest, message_body: Any) -> bool:
    """Tell whether the body is sent after the head, with ``send``."""
    length = request.headers.get("content-length", "0")
    return message_body is None and (length != "0" or "transfer-encoding" in request.headers)


def played(connection: Any, answer: LocalAnswer) -> Any:
    """The response of ``http.client`` whose body comes piece by piece, each when it is due."""
    raw = _Played(answer)
    response = connection.response_class(raw, method=connection._method)
    response.begin()
    # As after a response that was read from a socket: the connection may send another request.
    connection._HTTPConnection__state = "Idle"
    connection._HTTPConnection__response = None
    return response


class _Played(io.RawIOBase):
    """The bytes that a server would send: head and body, as they are read from a socket."""

    def __init__(self, answer: LocalAnswer) -> None:
        self._pieces = _wire(answer)
        self._left = b""

    def makefile(self, *args: Any, **options: Any) -> io.BufferedReader:
        """Give the file that ``http.client`` makes of a socket."""
        return io.BufferedReader(self, 1 << 16)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is due."""
        data = self._left or next(self._pieces, b"")
        size = min(len(data), len(buffer))
        buffer[:size], self._left = data[:size], data[size:]
        return size


def _wire(answer: LocalAnswer) -> Iterator[bytes]:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in answer.plain_headers)]
    yield ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    fault = _FAULTS.get(answer.fault or "read_error", ConnectionResetError)
    yield from filter(None, answer.pieces(fault(answer.says)))
