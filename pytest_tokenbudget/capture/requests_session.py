"""requests: ``Session.send``."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.answer import Outgoing
from pytest_tokenbudget.capture.httpx_family import ended_by, inside
from pytest_tokenbudget.capture.raw_body import tee_raw
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stages import current_path
from pytest_tokenbudget.records.exchange import Headers


class PreparedSource:
    """The parts of an exchange, read from objects with ``method``, ``url``, ``headers`` and ``body``."""

    __slots__ = ("_request", "answered", "whole")

    def __init__(self, request: Any) -> None:
        self._request = request
        self.answered: Any = None
        self.whole = True

    def request(self) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body; the body is ``None`` where it is a stream."""
        request = self._request
        body = request.body
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        elif isinstance(body, bytearray):
            body = bytes(body)
        return str(request.method), str(request.url), _headers(request.headers), body if isinstance(body, bytes) else None

    def response(self) -> tuple[int | None, Headers, bytes | None]:
        """Status, headers and, where it was read at once, the decoded body."""
        if self.answered is None:
            return None, (), None
        body = self.answered.content if self.whole else None
        return self.answered.status_code, _headers(self.answered.headers), body


def _headers(headers: Any) -> Headers:
    return tuple((_text(name).lower(), _text(value)) for name, value in headers.items())


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def refuse(recorder: Recorder, label: str, source: PreparedSource, *, streamed: bool) -> None:
    """Ask whoever may refuse a request before it leaves."""
    if recorder.before_send is not None:
        method, url, headers, body = source.request()
        recorder.before_send(Outgoing(label, method.upper(), url, headers, body, current_path(), streamed))


def patch(module: ModuleType, label: str, recorder: Recorder) -> Callable[[], None]:
    """Watch ``requests``; gives back a function that takes the watch away."""
    send = module.Session.send

    def watched(self: Any, request: Any, **options: Any) -> Any:
        around = inside.get()
        if recorder in around or not recorder.recording:
            return send(self, request, **options)
        streamed = bool(options.get("stream", self.stream))
        source = PreparedSource(request)
        refuse(recorder, label, source, streamed=streamed)
        pending = recorder.begin(label, source, streamed=streamed)
        token = inside.set((*around, recorder))
        try:
            response = send(self, request, **options)
        except BaseException as error:
            pending.finish(ended_by(error, "failed"), error)
            raise
        finally:
            inside.reset(token)
        source.answered = response
        if streamed and response.raw is not None:
            source.whole = False
            tee_raw(response.raw, pending)
        else:
            pending.finish("complete")
        return response

    module.Session.send = watched

    def undo() -> None:
        module.Session.send = send

    return undo
