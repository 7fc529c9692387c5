"""The server: a thread that listens, a thread a connection, a script and the books."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from ledger_server.books import Entry, Ledger
from ledger_server.http import Connection, HttpRequest
from ledger_server.reply import Asked, Numbers, Reply, numbers
from ledger_server.sse import dumps
from ledger_server.wires import find
from ledger_server.wires.shape import Wire

Script = Iterable[Reply] | Callable[[Asked], Reply]
GARBAGE = b"<html>502 Bad Gateway</html>"


class LedgerServer:
    """A loopback LLM server, used as a context manager.

    Args:
        script: Replies in order, or a function of the request. After the last reply, and without a script, it says
            ``ok``.
    """

    def __init__(self, script: Script = ()) -> None:
        self.ledger = Ledger()
        self.requests: list[Asked] = []
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._closed = False
        self.play(script)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``; an OpenAI client takes it with ``/v1`` behind."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def play(self, script: Script) -> None:
        """Replace what is left of the script."""
        with self._lock:
            self._function = script if callable(script) else None
            self._queue: deque[Reply] = deque(() if callable(script) else script)

    def forget(self) -> None:
        """Close the books and begin new ones."""
        with self._lock:
            self.ledger.clear()
            self.requests.clear()

    def __enter__(self) -> LedgerServer:
        threading.Thread(target=self._accept, name="ledger-server", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed = True
        with contextlib.suppress(OSError):  # not every system lets a listening socket be shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Connection(accepted),), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with self._lock:
            self._connections.add(connection)
        try:
            while (request := connection.read()) is not None and self._answer(connection, request):
                pass
        except (OSError, ValueError):
            pass  # the client hung up in the middle, or the server is being closed
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, connection: Connection, request: HttpRequest) -> bool:
        """Answer one request; whether the connection may be used again."""
        path = urlsplit(request.target).path
        wire = find(path)
        body = _json(request.body)
        if wire is None or body is None:
            connection.send_whole(404, [("content-type", "application/json")], b'{"error":{"message":"no such path"}}')
            return True
        with self._lock:
            stream = wire.streams(path, body)
            size, model = len(request.body), wire.model(path, body)
            asked = Asked(wire.api, path, request.headers, body, size, stream, model, len(self.requests))
            self.requests.append(asked)
            reply = self._queue.popleft() if self._queue else Reply()
        if self._function:
            reply = self._function(asked)
        count = numbers(asked, reply)
        self._book(wire, asked, reply, count)
        if reply.delay:
            time.sleep(reply.delay)
        return _send(connection, wire, asked, reply, count)

    def _book(self, wire: Wire, asked: Asked, reply: Reply, count: Numbers) -> None:
        fine = reply.status < 400
        told = fine and reply.fault is None and (not asked.stream or wire.told(asked))
        entry = Entry(
            api=asked.api,
            path=asked.path,
            model=reply.model or asked.model,
            input_tokens=count.input if fine else 0,
            output_tokens=count.output if fine else 0,
            cached=count.cached if fine else 0,
            cache_write=count.cache_write if fine else 0,
            reasoning=count.reasoning if fine else 0,
            status=reply.status,
            stream=asked.stream,
            told=told,
            tool_calls=tuple(call.name for call in reply.tool_calls) if fine else (),
            stage=reply.stage or asked.headers.get("x-stage", ""),
            fault=reply.fault,
        )
        with self._lock:
            self.ledger.append(entry)


def _send(connection: Connection, wire: Wire, asked: Asked, reply: Reply, count: Numbers) -> bool:
    if reply.fault == "drop":
        return False
    headers = [("x-request-id", f"req-{asked.number}"), *reply.headers]
    if reply.retry_after is not None:
        headers.append(("retry-after", f"{reply.retry_after:g}"))
    model = reply.model or asked.model
    told = None if reply.fault == "no_usage" else count
    if reply.status >= 400:
        error = dumps(wire.error(reply.status, f"scripted {reply.status}"))
        return _send_plain(connection, reply, headers, error)
    if not asked.stream:
        plain = wire.error(500, "scripted") if reply.fault == "error_inside" else wire.plain(asked, reply, model, told)
        return _send_plain(connection, reply, headers, GARBAGE if reply.fault == "garbage" else dumps(plain))
    events = wire.events(asked, reply, model, told)
    if reply.fault == "garbage":
        events[len(events) // 2] = GARBAGE + b"\n\n"
    elif reply.fault == "error_inside":
        events[len(events) // 2 :] = [wire.frame_error(wire.error(500, "scripted"))]
    elif reply.fault == "cut":
        events = events[: max(1, len(events) // 2)]
    return _send_events(connection, reply, [*headers, ("content-type", wire.stream_type)], events)


def _send_plain(connection: Connection, reply: Reply, headers: list[tuple[str, str]], body: bytes) -> bool:
    headers = [*headers, ("content-type", "application/json")]
    if reply.gzip:
        headers, body = [*headers, ("content-encoding", "gzip")], gzip.compress(body, mtime=0)
    cut = reply.fault == "cut"
    connection.send_whole(reply.status, headers, body, keep=len(body) // 2 if cut else None)
    return not cut


def _send_events(connection: Connection, reply: Reply, headers: list[tuple[str, str]], events: list[bytes]) -> bool:
    if reply.gzip:
        headers, events = [*headers, ("content-encoding", "gzip")], [gzip.compress(b"".join(events), mtime=0)]
    if reply.split:
        whole = b"".join(events)
        events = [whole[at : at + reply.split] for at in range(0, len(whole), reply.split)]
    connection.send_head(reply.status, headers)
    for event in events:
        if reply.event_delay:
            time.sleep(reply.event_delay)
        connection.send_chunk(event)
    if reply.fault == "cut":
        return False
    connection.send_chunk(b"")
    return True


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
