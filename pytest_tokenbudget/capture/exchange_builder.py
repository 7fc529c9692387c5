"""One exchange while it runs: references and clock readings, from which an :class:`Exchange` is built afterwards."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from pytest_tokenbudget.capture.stages import current_path, name_of
from pytest_tokenbudget.records.exchange import End, Exchange, Headers

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.answer import LocalAnswer
    from pytest_tokenbudget.capture.recorder import Recorder


class Library(Protocol):
    """How the objects of one client library are read. Nothing of it is called while a request is on its way."""

    @property
    def client(self) -> str:
        """Name and version, ``"httpx 0.28.1"``."""

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method (upper case), whole URL, headers (names in lower case) and body of a request."""

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs of the library's own header object, names in lower case."""


class ExchangeBuilder:
    """An exchange on its way, as one recorder sees it."""

    __slots__ = (
        "_built",
        "answer",
        "chunk_times",
        "chunks",
        "encoded",
        "end",
        "ended",
        "error",
        "headers",
        "library",
        "mocked",
        "recorder",
        "request",
        "span",
        "stage",
        "started",
        "status",
        "streamed",
    )

    def __init__(self, recorder: Recorder, library: Library, request: Any, *, streamed: bool) -> None:
        self.recorder = recorder
        self.library = library
        self.request = request
        self.streamed = streamed
        self.stage = current_path()
        self.span = _current_span()
        self.answer: LocalAnswer | None = None
        self.mocked = False
        self.status: int | None = None
        self.headers: Any = None
        self.encoded: bool | None = None
        self.chunks: list[bytes] = []
        self.chunk_times: list[float] = []
        self.ended = 0.0
        self.end: End | None = None
        self.error: str | None = None
        self._built: Exchange | None = None
        self.started = recorder.clock()

    def arrived(self, status: int, headers: Any) -> None:
        """The response's head arrived; ``headers`` is the library's own object."""
        self.status = status
        self.headers = headers

    def chunk(self, data: bytes) -> None:
        """A piece of the body arrived."""
        self.chunk_times.append(self.recorder.clock())
        self.chunks.append(data)

    def whole(self, body: bytes) -> None:
        """The body was read at once, and decoded, by the library itself."""
        if self.end is None:
            self.encoded = False
            if body:
                self.chunk(body)
            self.finish("complete")

    def finish(self, end: End, error: BaseException | None = None) -> None:
        """The exchange ended; only the first end counts."""
        if self.end is None:
            self._end(end, error)
            self.recorder.ended(self)

    def fail(self, error: BaseException) -> None:
        """There is no response: the request failed, or whoever sent it was cancelled."""
        self.finish("failed" if isinstance(error, Exception) and not is_cancellation(error) else "cancelled", error)

    def cut(self, error: BaseException) -> None:
        """Reading the body raised: the connection broke, or the reader was cancelled."""
        self.finish("cut" if isinstance(error, Exception) and not is_cancellation(error) else "cancelled", error)

    def abandon(self) -> None:
        """The response was collected unclosed. Called by the garbage collector: at any time, in any thread."""
        if self.end is None:
            self._end("closed", None)
            self.recorder.abandoned(self)

    def _end(self, end: End, error: BaseException | None) -> None:
        self.ended = self.recorder.clock()
        self.error = None if error is None else type(error).__name__
        self.end = end

    def exchange(self, sequence: int, now: float) -> Exchange:
        """What is known of it; an exchange that still runs ends ``now`` (s on the recorder's clock), with end ``open``."""
        if self._built is not None:
            return self._built if self._built.sequence == sequence else replace(self._built, sequence=sequence)
        built = self._build(sequence, now)
        if self.end is not None:
            self._built = built
        return built

    def _build(self, sequence: int, now: float) -> Exchange:
        method, url, headers, body = self.library.request_parts(self.request)
        response_headers = () if self.headers is None else self.library.header_pairs(self.headers)
        chunks = tuple(self.chunks)
        answer = self.answer
        return Exchange(
            client=self.library.client,
            method=method,
            url=url,
            request_headers=headers,
            request_body=body,
            status=self.status,
            response_headers=response_headers,
            chunks=chunks,
            chunk_times=tuple(self.chunk_times[: len(chunks)]),
            encoded=is_encoded(response_headers) if self.encoded is None else self.encoded,
            streamed=self.streamed,
            started=self.started,
            ended=now if self.end is None else self.ended,
            end=self.end or "open",
            error=self.error,
            stage=self.stage,
            agent=_agent_name(self.span),
            answered_by=answer.answered_by if answer is not None else "mock" if self.mocked else "network",
            token_basis=None if answer is None else answer.token_basis,
            sequence=sequence,
        )


def is_cancellation(error: BaseException) -> bool:
    """Whether asyncio, trio or anyio (which uses theirs) cancels with it; none of them is imported to find out."""
    return type(error).__name__ in ("CancelledError", "Cancelled")


def is_encoded(headers: Headers) -> bool:
    """Whether a body with these headers is compressed on the wire."""
    return any(name == "content-encoding" and value.strip().lower() not in ("", "identity") for name, value in headers)


def _current_span() -> Any:
    """The current OpenTelemetry span, where the application uses OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    current: Any = getattr(trace, "get_current_span", None)
    return None if current is None else current()


def _agent_name(span: Any) -> str | None:
    """The span's ``gen_ai.agent.name`` (OpenTelemetry GenAI semantic conventions, read 2026-11-24)."""
    # A span that is not recording has no attributes; one of the SDK has a mapping of them.
    get = getattr(getattr(span, "attributes", None), "get", None)
    name = None if get is None else get("gen_ai.agent.name")
    return name_of(str(name)) if name else None
