"""What is captured of one sample: exchanges and the times in which stages were open.

The hot path only takes references and clock readings; exchanges are built when they are asked for.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pytest_tokenbudget.capture.answer import Answerer, LocalAnswer, Outgoing
from pytest_tokenbudget.capture.stages import current_path
from pytest_tokenbudget.records.exchange import End, Exchange, Headers
from pytest_tokenbudget.records.sample import Span


class Source(Protocol):
    """How the parts of an exchange are read from a client's own objects, afterwards."""

    def request(self) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body of the request."""

    def response(self) -> tuple[int | None, Headers, bytes | None]:
        """Status, headers, and the decoded body where it was read at once."""


class Pending:
    """An exchange on its way: references and clock readings."""

    __slots__ = (
        "agent",
        "answer",
        "chunk_times",
        "chunks",
        "client",
        "encoded",
        "end",
        "ended",
        "error",
        "recorder",
        "source",
        "stage",
        "started",
        "streamed",
    )

    def __init__(self, recorder: Recorder, client: str, source: Source, *, streamed: bool) -> None:
        self.recorder = recorder
        self.client = client
        self.source = source
        self.streamed = streamed
        self.encoded = streamed
        self.stage = current_path()
        self.agent = _current_agent()
        self.chunks: list[bytes] = []
        self.chunk_times: list[float] = []
        self.answer: LocalAnswer | None = None
        self.ended = 0.0
        self.end: End = "open"
        self.error: str | None = None
        self.started = recorder.clock()

    def chunk(self, data: bytes) -> None:
        """A piece of a streamed body arrived."""
        self.chunk_times.append(self.recorder.clock())
        self.chunks.append(data)

    def finish(self, end: End, error: BaseException | None = None) -> None:
        """The exchange ended; only the first end counts."""
        if self.end != "open":
            return
        self.ended = self.recorder.clock()
        self.error = None if error is None else type(error).__name__
        self.end = end
        self.recorder.ended(self)


class Recorder:
    """Collects the exchanges and stage spans of one sample; safe with several threads and event loops.

    Args:
        clock: The sample's clock, s.
        answerer: Who answers instead of the network, if anybody does.
        before_send: Called before a request leaves; may raise to refuse it.
        on_end: Called with each exchange as soon as it ended, where that is needed.
        request_usage: Whether OpenAI-style streams are asked for their usage.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        answerer: Answerer | None = None,
        before_send: Callable[[Outgoing], None] | None = None,
        on_end: Callable[[Exchange], None] | None = None,
        request_usage: bool = False,
    ) -> None:
        self.clock = clock
        self.answerer = answerer
        self.before_send = before_send
        self.on_end = on_end
        self.request_usage = request_usage
        self._pending: list[Pending] = []
        self._spans: list[Span] = []
        self._open_stages: dict[int, tuple[str, float]] = {}
        self._pauses = 0
        self._lock = threading.Lock()

    @property
    def recording(self) -> bool:
        """Whether exchanges that begin now are recorded."""
        return self._pauses == 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exchanges that begin meanwhile are not recorded."""
        with self._lock:
            self._pauses += 1
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1

    def begin(self, client: str, source: Source, *, streamed: bool) -> Pending:
        """An exchange begins."""
        pending = Pending(self, client, source, streamed=streamed)
        self._pending.append(pending)
        return pending

    def ended(self, pending: Pending) -> None:
        """An exchange ended."""
        if self.on_end is not None:
            self.on_end(_exchange(pending, self._pending.index(pending), pending.ended))

    def open_stage(self, key: int, path: str) -> None:
        """A stage was opened; ``key`` tells this opening from others of the same stage."""
        self._open_stages[key] = (path, self.clock())

    def close_stage(self, key: int) -> None:
        """The stage that was opened with ``key`` was closed."""
        opened = self._open_stages.pop(key, None)
        if opened is not None:
            self._spans.append(Span(opened[0], opened[1], self.clock()))

    def exchanges(self) -> tuple[Exchange, ...]:
        """All exchanges in the order of their starts; those still running end now, with the end ``open``."""
        now = self.clock()
        return tuple(
            _exchange(pending, number, now if pending.end == "open" else pending.ended)
            for number, pending in enumerate(list(self._pending))
        )

    def spans(self) -> tuple[Span, ...]:
        """The times in which stages were open; those still open are closed now."""
        now = self.clock()
        still_open = [Span(path, started, now) for path, started in list(self._open_stages.values())]
        return (*self._spans, *still_open)

    def hosts(self) -> dict[str, int]:
        """Hosts that were contacted, with the number of requests."""
        counts: dict[str, int] = {}
        for pending in list(self._pending):
            host = urlsplit(pending.source.request()[1]).netloc.rpartition("@")[2]
            counts[host] = counts.get(host, 0) + 1
        return dict(sorted(counts.items()))


def _exchange(pending: Pending, sequence: int, ended: float) -> Exchange:
    method, url, headers, body = pending.source.request()
    status, response_headers, whole = pending.source.response()
    chunks, times, encoded = tuple(pending.chunks), tuple(pending.chunk_times), pending.encoded
    if whole is not None and not chunks:
        chunks, times, encoded = (whole,), (ended,), False
    answered_by: Literal["network", "replay", "script"] = "network"
    if pending.answer is not None:
        answered_by, encoded = pending.answer.answered_by, False
    return Exchange(
        client=pending.client,
        method=method.upper(),
        url=url,
        request_headers=headers,
        request_body=body,
        status=status,
        response_headers=response_headers,
        chunks=chunks,
        chunk_times=times[: len(chunks)],
        encoded=encoded,
        streamed=pending.streamed,
        started=pending.started,
        ended=ended,
        end=pending.end,
        error=pending.error,
        stage=pending.stage,
        agent=pending.agent,
        answered_by=answered_by,
        token_basis=pending.answer.token_basis if pending.answer is not None else None,
        sequence=sequence,
    )


def _current_agent() -> str | None:
    """``gen_ai.agent.name`` of the current OpenTelemetry span, where the application uses OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        name = trace.get_current_span().attributes.get("gen_ai.agent.name")
    except AttributeError:  # a span that is not recording has no attributes
        return None
    return str(name) if name else None
