"""Sends a request on to its upstream, and passes the answer back piece by piece."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.proxy.aws_signature import SIGNED, signed
from pytest_tokenbudget.capture.proxy.http1 import (
    RECEIVE,
    Head,
    Pairs,
    ProtocolError,
    Wire,
    head_bytes,
    response_framing,
)
from pytest_tokenbudget.capture.proxy.loopback_server import ServerRequest
from pytest_tokenbudget.capture.proxy.upstreams import Upstream

_OF_ONE_HOP = frozenset({
    "connection", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade",
})  # fmt: skip
_OF_THE_BODY = frozenset(("content-length", "transfer-encoding"))
MOST_IDLE = 32
"""Connections that are kept for each upstream."""

CONNECT_SECONDS = 30.0

LOOK_SECONDS = 0.2
"""The time, s, between two looks whether a client that waits is still there."""

STAGE_HEADER = "x-tokenbudget-stage"
_OF_A_REQUEST = _OF_ONE_HOP | _OF_THE_BODY | {STAGE_HEADER}
_OF_AN_UPGRADE = _OF_A_REQUEST - {"connection", "upgrade"}
_READABLE = ("gzip", "deflate", "identity")
"""Encodings that can be read without a further library: an answer in another one could not be counted."""


class ClientGone(ConnectionError):
    """The client closed its connection before it had the whole answer."""


class Forwarding:
    """Forwards requests, and keeps the connections to upstreams that can be used again."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Wire]] = {}
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def _idle(self, upstream: Upstream) -> Wire | None:
        """A connection that was used before; the other side may have closed it meanwhile."""
        with self._lock:
            kept = self._kept.get(upstream.origin)
            return kept.pop() if kept else None

    def _keep(self, upstream: Upstream, wire: Wire) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            kept = self._kept.setdefault(upstream.origin, [])
            if len(kept) < MOST_IDLE:
                kept.append(wire)
                return
        wire.close()

    def _open(self, upstream: Upstream) -> Wire:
        """Open a connection, through the proxy that the environment names for others than this machine."""
        connection: http.client.HTTPConnection
        host, port = upstream.host, upstream.port
        tunnel = None if proxy_bypass(host) else getproxies().get(upstream.scheme)
        if tunnel:
            parts = urlsplit(tunnel if "://" in tunnel else f"http://{tunnel}")
            host, port = parts.hostname or host, parts.port or 80
        if upstream.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=self._tls())
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        if tunnel:
            connection.set_tunnel(upstream.host, upstream.port)
        connection.connect()
        opened: socket.socket = connection.sock
        connection.sock = None  # the connection object would close it
        opened.settimeout(None)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(opened)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def close(self) -> None:
        """Close all that are kept."""
        with self._lock:
            kept, self._kept = self._kept, {}
        for wires in kept.values():
            for wire in wires:
                wire.close()

    def forward(self, request: ServerRequest, upstream: Upstream, target: str, builder: ExchangeBuilder | None) -> bool:
        """Forward a request to path and query of an upstream; says whether the connection may be used again."""
        sent = request_head(request, upstream, target)
        try:
            wire, head = self._answered(request, upstream, sent)
        except (OSError, ProtocolError) as error:
            if builder is not None:
                builder.fail(error)
            if isinstance(error, ClientGone):
                return False
            return request.answer(502, f"{upstream.origin} cannot be reached: {error}")
        if builder is not None:
            builder.arrived(int(head.start[1]), head.pairs)
        return self._pass_back(request, upstream, wire, head, builder)

    def _answered(self, request: ServerRequest, upstream: Upstream, head: bytes) -> tuple[Wire, Head]:
        """Send a request and wait for the head of its answer.

        A connection that was kept may have been closed by the other side; then the request is sent once more.
        """
        wire = self._idle(upstream)
        if wire is not None:
            try:
                return wire, _ask(request, wire, head)
            except ClientGone:
                wire.close()
                raise
            except OSError:
                wire.close()
        wire = self._open(upstream)
        try:
            return wire, _ask(request, wire, head)
        except BaseException:
            wire.close()
            raise

    def _pass_back(
        self, request: ServerRequest, upstream: Upstream, wire: Wire, head: Head, builder: ExchangeBuilder | None
    ) -> bool:
        framing = response_framing(head, request.method)
        # HTTP/1.0 knows no chunks: a body of unknown length ends with its connection.
        unchunked = request.is_old and head.is_chunked
        until_closed = unchunked or framing == "until closed"
        pending = _response_head(head, unchunked=unchunked, close=until_closed)
        send = request.wire.socket.sendall
        try:
            for data, pieces in wire.body(framing):
                if builder is not None:
                    for piece in pieces:
                        builder.chunk(piece)
                send(pending + (b"".join(pieces) if unchunked else data))
                pending = b""
            if pending:
                send(pending)
        except (OSError, ProtocolError) as error:
            wire.close()
            if builder is not None:
                builder.finish("closed") if isinstance(error, ClientGone) else builder.cut(error)
            return False
        if builder is not None:
            builder.finish("complete")
        wire.while_waiting = None
        if head.closes or framing == "until closed" or wire.has_read_ahead:
            wire.close()
        else:
            self._keep(upstream, wire)
        return not until_closed

    def tunnel(self, request: ServerRequest, upstream: Upstream, target: str) -> bool:
        """Pass the bytes of an upgraded connection (a WebSocket) on in both directions, until one side closes it."""
        try:
            wire = self._open(upstream)
            wire.socket.sendall(request_head(request, upstream, target) + request.body)
        except OSError as error:
            return request.answer(502, f"{upstream.origin} cannot be reached: {error}")
        client = request.wire.socket
        back = threading.Thread(target=_copy, args=(wire.socket, client), name="tokenbudget-proxy-tunnel", daemon=True)
        back.start()
        _copy(client, wire.socket)
        back.join()
        wire.close()
        return False


def _ask(request: ServerRequest, wire: Wire, head: bytes) -> Head:
    """Send a request on a connection, and read the head of its answer."""
    wire.socket.settimeout(None)
    _send(wire.socket, head, request.body)
    wire.socket.settimeout(LOOK_SECONDS)
    wire.while_waiting = lambda: _check_client(request.wire.socket)
    while True:
        answer = wire.head()
        if answer is None:
            raise ConnectionResetError("it closed the connection without an answer")
        if not answer.start[1].isdecimal():
            raise ProtocolError(f"no status: {answer.start[1][:20]!r}")
        if not 100 <= int(answer.start[1]) < 200:
            return answer


def _send(target: socket.socket, head: bytes, body: bytes) -> None:
    """Send head and body without copying the body."""
    if not body or isinstance(target, ssl.SSLSocket) or not hasattr(target, "sendmsg"):
        target.sendall(head + body)
        return
    sent = target.sendmsg([head, body])
    if sent < len(head):
        target.sendall(head[sent:] + body)
    elif sent < len(head) + len(body):
        target.sendall(memoryview(body)[sent - len(head) :])


def _check_client(client: socket.socket) -> None:
    """Raise ``ClientGone`` where the client has gone away: then the upstream is to stop."""
    client.setblocking(False)
    try:
        gone = client.recv(1, socket.MSG_PEEK) == b""
    except (BlockingIOError, InterruptedError):
        gone = False
    except OSError:
        gone = True
    client.setblocking(True)
    if gone:
        raise ClientGone("the client closed the connection")


def request_head(request: ServerRequest, upstream: Upstream, target: str) -> bytes:
    """The head that is sent to the upstream."""
    left_out = _OF_AN_UPGRADE if request.head.get("upgrade") else _OF_A_REQUEST
    headers: Pairs = [("host", upstream.host_header)]
    for pair, (lower, value) in zip(request.head.headers, request.head.pairs, strict=True):
        if lower not in left_out:
            headers.append((pair[0], _readable(value)) if lower == "accept-encoding" else pair)
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        headers.append(("content-length", str(len(request.body))))
    if request.head.get("authorization").startswith(SIGNED):
        headers = signed(request, upstream, target, headers)
    return head_bytes(f"{request.method} {target} HTTP/1.1", headers)


@lru_cache(maxsize=64)
def _readable(accepted: str) -> str:
    kept = [part.strip() for part in accepted.split(",") if part.partition(";")[0].strip().lower() in _READABLE]
    return ", ".join(kept) or "identity"


def _response_head(head: Head, *, unchunked: bool, close: bool) -> bytes:
    left_out = _OF_ONE_HOP | _OF_THE_BODY if unchunked else _OF_ONE_HOP
    headers = [pair for pair, (lower, _) in zip(head.headers, head.pairs, strict=True) if lower not in left_out]
    if close:
        headers.append(("connection", "close"))
    return head_bytes(f"HTTP/1.1 {head.start[1]} {head.start[2]}", headers)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source is closed, then close the target for writing."""
    with suppress(OSError):
        while data := source.recv(RECEIVE):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
