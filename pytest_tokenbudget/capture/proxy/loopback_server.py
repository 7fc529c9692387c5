"""A server on the loopback that gives each connection a thread, and answers that are given locally to its clients."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing
from pytest_tokenbudget.capture.proxy.http1 import Head, Pairs, ProtocolError, Wire, head_bytes, request_framing

THREAD_NAME = "tokenbudget-proxy"


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request that was read whole, and the connection (``wire``) on which to answer it."""

    wire: Wire
    head: Head
    body: bytes

    @property
    def method(self) -> str:
        """The method, upper case."""
        return self.head.start[0].upper()

    @property
    def target(self) -> str:
        """Path and query."""
        return self.head.start[1]

    @property
    def is_old(self) -> bool:
        """Tell whether the client speaks HTTP/1.0, which knows no chunks."""
        return self.head.start[2] == "HTTP/1.0"

    def outgoing(self, url: str, *, client: str = "http", stage: str = "") -> Outgoing:
        """The request, of a URL that is meant, as those see it who may refuse or answer it."""
        return Outgoing(client, self.method, url, self.head.pairs, self.body, stage, streamed=True)

    def answer(self, status: int, message: str, *, kind: str = "llm_proxy") -> bool:
        """Send an error in the form in which model APIs send theirs; whether the connection may be used again."""
        body = json.dumps({"error": {"message": message, "type": kind}}).encode()
        headers: Pairs = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("x-should-retry", "false"),  # the SDKs of OpenAI and Anthropic would try again
        ]
        self.wire.socket.sendall(head_bytes(f"HTTP/1.1 {status} {message[:60]!r}", headers) + body)
        return True


Handler = Callable[[ServerRequest], bool]
"""Answers a request; tells whether the connection may be used again."""


class LoopbackServer:
    """Listens on a free port of 127.0.0.1, and refuses requests to another host; each connection has a thread."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[Wire] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=THREAD_NAME, daemon=True)
        self._closed = False
        self._thread.start()

    @property
    def url(self) -> str:
        """The server's URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Close the server and all its connections."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for wire in connections:
            with suppress(OSError):
                wire.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _accept(self) -> None:
        while not self._closed:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(
                target=self._serve, args=(Wire(accepted),), name=f"{THREAD_NAME}-connection", daemon=True
            ).start()

    def _serve(self, wire: Wire) -> None:
        with self._lock:
            self._connections.add(wire)
        try:
            while not self._closed and self._serve_one(wire):
                pass
        except (OSError, ProtocolError):
            pass  # the client went away, or is none
        finally:
            wire.close()
            with self._lock:
                self._connections.discard(wire)

    def _serve_one(self, wire: Wire) -> bool:
        head = wire.head()
        if head is None:
            return False
        if head.get("expect").lower() == "100-continue":
            wire.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = [piece for _, pieces in wire.body(request_framing(head)) for piece in pieces]
        request = ServerRequest(wire, head, b"".join(body))
        if not self._is_meant(head.get("host")):
            # A page of the web that has its name resolve to this machine could ask otherwise.
            request.answer(403, f"this server is {self.url}")
            return False
        return self._handler(request) and not head.closes

    def _is_meant(self, host: str) -> bool:
        return host in (f"127.0.0.1:{self.port}", f"localhost:{self.port}")


class ConnectionDropped(Exception):
    """Stands in an exchange for a connection that a script or a recording breaks."""


def play_answer(request: ServerRequest, answer: LocalAnswer, builder: ExchangeBuilder | None) -> bool:
    """Write an answer, each piece when it is due; says whether the connection may be used again.

    Raises:
        OSError: If the client went away.
    """
    if not answer.status:
        if builder is not None:
            builder.fail(ConnectionDropped())
        return False  # no response at all: the connection is dropped
    if builder is not None:
        builder.arrived(answer.status, answer.headers)
    try:
        _write(request, answer, builder)
    except OSError as error:
        if builder is not None:
            builder.cut(error)
        raise
    if builder is not None:
        builder.cut(ConnectionDropped()) if answer.fault is not None else builder.finish("complete")
    return answer.fault is None and not request.is_old


def _write(request: ServerRequest, answer: LocalAnswer, builder: ExchangeBuilder | None) -> None:
    send = request.wire.socket.sendall
    headers: Pairs = [(name, value) for name, value in answer.plain_headers if name.lower() != "connection"]
    streams = any(name.lower() == "content-type" and "event-stream" in value for name, value in headers)
    chunked = (streams or answer.fault is not None) and not request.is_old
    if chunked:
        headers.append(("transfer-encoding", "chunked"))
    elif not streams:
        headers.append(("content-length", str(sum(map(len, answer.chunks)))))
    head = head_bytes(f"HTTP/1.1 {answer.status} {answer.reason}", headers)
    has_body = request.method != "HEAD" and answer.status not in (204, 304)
    if not has_body or not answer.chunks:
        send(head + (b"0\r\n\r\n" if chunked and has_body and answer.fault is None else b""))
        return
    for number, chunk in enumerate(answer.chunks):
        if answer.before_chunk is not None:
            answer.before_chunk(number)
        if builder is not None:
            builder.chunk(chunk)
        send(head + (b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked and chunk else chunk))
        head = b""
    if chunked and answer.fault is None:
        send(b"0\r\n\r\n")
