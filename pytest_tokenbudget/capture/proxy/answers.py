"""Writes an answer that is given locally, by a script or a cassette, to the client of a server."""

from __future__ import annotations

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.local_answer import LocalAnswer
from pytest_tokenbudget.capture.proxy.http1 import Pairs, head_bytes
from pytest_tokenbudget.capture.proxy.loopback_server import ServerRequest


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
