"""One exchange while it runs: references and clock readings, from which an :class:`Exchange` is built afterwards.

A model call's body is kept whole, a body that may be one up to a bound, and other bodies are not kept.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_tokenbudget.capture.active import ACTIVE

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.active import ActiveRecorder
    from pytest_tokenbudget.capture.local_answer import LocalAnswer
    from pytest_tokenbudget.providers.wire_format import WireFormat
    from pytest_tokenbudget.records.exchange import End, Exchange, Headers


BodyLimit: TypeAlias = "Callable[[str, str, Headers], int | None]"
"""Bytes that are worth keeping of a body, from method, URL and response headers; ``None`` for all."""

FREE = 256 * 1024
"""Bytes of a response's body that are kept without asking what it is."""

HELD = 8 * 1024 * 1024
"""Bytes of the bodies of ended exchanges that are held without asking what they are."""

LARGEST_PROMPT = 32 * 1024 * 1024
"""Bytes of a JSON body of a request that may be the prompt of a model that no format knows."""


def request_size(request: Any) -> int:
    """Bytes of a request's body, whatever the client library; 0 where it is a stream that nobody has read."""
    for name in ("body", "_content"):  # requests, botocore and our own objects; httpx, whose ``content`` may raise
        body = getattr(request, name, None)
        if isinstance(body, bytes | bytearray | str):
            return len(body)
    return 0


def may_hold_a_prompt(body: bytes | None) -> bool:
    """Tell whether a request's body is worth keeping whatever was answered: a prompt is what tells an unknown model call."""
    return body is not None and body[:1] == b"{" and len(body) <= LARGEST_PROMPT


def builtin_body_limit(method: str, url: str, response_headers: Headers) -> int | None:
    """The limit by the built-in APIs, for processes that know of no others."""
    from pytest_tokenbudget.providers.classify import body_limit

    return body_limit(method, url, response_headers, builtin_formats())


@lru_cache(maxsize=1)
def builtin_formats() -> tuple[WireFormat, ...]:
    """The built-in APIs, imported when they are first asked for."""
    from pytest_tokenbudget.providers import registry

    return registry.builtin_formats()


class Library:
    """Reads the objects of one client library. It is called after the request, or by somebody who may answer it.

    ``client`` is its name and version, ``"httpx 0.28.1"``.
    """

    def __init__(self, client: str) -> None:
        self.client = client

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method (upper case), whole URL, headers (names in lower case) and body of a request."""
        raise NotImplementedError

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs of the library's own header object, names in lower case; here they are pairs already."""
        pairs: Headers = headers
        return pairs

    def in_process(self, sender: Any, request: Any) -> bool:
        """Tell whether the client's transport hands the request to an app in the same process."""
        return False


class ExchangeBuilder:
    """An exchange while it runs, as one recorder sees it.

    Attributes:
        owner: The recorder.
        library: Reads the request.
        request: The library's request.
        streamed: Whether the caller asked for a streamed response.
        stage: Path of the stage in which the request was sent.
        surrounding_stage: Path of the stage that was open in the test while another process sent it.
        span: The OpenTelemetry span in which it was sent.
        number: How many exchanges the recorder began before.
        within: The exchange within whose ``send`` it was sent, if there is one.
        outside: What it belongs to, if it is not the sample.
        answer: The answer that is given locally, if one is.
        mocked: Whether a tool for tests gave the response in the place of the network.
        encoded: Whether the chunks still carry the ``content-encoding``; ``None`` where the headers decide.
        size: Bytes of the response's body that are kept.
        body_cut: Whether the body is longer than what is kept of it.
        end: How it ended, ``None`` while it runs.
    """

    def __init__(
        self,
        owner: ActiveRecorder,
        library: Library,
        request: Any,
        *,
        streamed: bool,
        stage: str,
        span: Any = None,
        within: ExchangeBuilder | None = None,
        outside: str = "",
    ) -> None:
        self.owner = owner
        self.library = library
        self.request = request
        self.streamed = streamed
        self.stage = stage
        self.surrounding_stage = ""
        self.span = span
        self.number = 0
        self.within = within
        self.outside = outside
        self.answer: LocalAnswer | None = None
        self.mocked = False
        self.status: int | None = None
        self.headers: Any = None
        self.encoded: bool | None = None
        self.chunks: list[bytes] = []
        self.chunk_times: list[float] = []
        self.size = 0
        self.body_cut = False
        self._ask_at: float = FREE
        self.ended = 0.0
        self.end: End | None = None
        self.error: str | None = None
        self._built: Exchange | None = None
        self.started = owner.clock()

    def arrived(self, status: int, headers: Any) -> None:
        """Note the head of the response; ``headers`` is the library's own object."""
        self.status = status
        self.headers = headers

    def chunk(self, data: bytes) -> None:
        """Note a piece of the body."""
        self.chunk_times.append(self.owner.clock())
        self.chunks.append(data)
        self.size += len(data)
        if self.size > self._ask_at:
            self._limit_chunks()

    def whole(self, body: bytes) -> None:
        """Note a body that the library itself has read at once and decoded."""
        if self.end is None:
            self.encoded = False
            if body:
                self.chunk(body)
            self.finish("complete")

    def finish(self, end: End, error: BaseException | None = None, *, collected: bool = False) -> None:
        """End the exchange; only the first end counts."""
        if self.end is None:
            self.ended = self.owner.clock()
            self.error = None if error is None else type(error).__name__
            self.end = end
            (self.owner.abandoned if collected else self.owner.ended)(self)

    def fail(self, error: BaseException) -> None:
        """End it without a response: the request failed, or whoever sent it was cancelled."""
        self.finish("failed" if isinstance(error, Exception) and not is_cancellation(error) else "cancelled", error)

    def cut(self, error: BaseException) -> None:
        """End it where reading the body raised: the connection broke, or the reader was cancelled."""
        self.finish("cut" if isinstance(error, Exception) and not is_cancellation(error) else "cancelled", error)

    def abandon(self) -> None:
        """End it where the response was collected unclosed; the garbage collector calls this at any time, in any thread."""
        self.finish("closed", collected=True)

    def exchange(self, now: float) -> Exchange:
        """Build the exchange; one that still runs ends ``now`` (s on the recorder's clock), with the end ``open``."""
        if self._built is not None:
            return self._built
        from pytest_tokenbudget.records.exchange import Exchange

        method, url, headers, body = self.library.request_parts(self.request)
        url, stage = ACTIVE.meant_address(url, self.stage)
        response_headers = () if self.headers is None else self.library.header_pairs(self.headers)
        chunks = tuple(self.chunks)
        answer = self.answer
        built = Exchange(
            client=self.library.client,
            method=method,
            url=url,
            request_headers=headers,
            request_body=body,
            status=self.status,
            response_headers=response_headers,
            chunks=chunks,
            chunk_times=tuple(self.chunk_times[: len(chunks)]),
            body_cut=self.body_cut,
            encoded=is_encoded(response_headers) if self.encoded is None else self.encoded,
            streamed=self.streamed,
            started=self.started,
            ended=now if self.end is None else self.ended,
            end=self.end or "open",
            error=self.error,
            stage=stage,
            surrounding_stage=self.surrounding_stage,
            agent=None if self.span is None else _agent_name(self.span),
            answered_by=answer.answered_by if answer is not None else "mock" if self.mocked else "network",
            token_basis=None if answer is None else answer.token_basis,
            sequence=self.number,
            within=None if self.within is None else self.within.number,
        )
        if self.end is not None:
            self._built = built
        return built

    def limit_bodies(self) -> None:
        """Drop what is not worth keeping of an exchange that has ended."""
        built = self.exchange(self.ended)
        limit = self._limit_of(built.method, built.url)
        if limit is None:
            return
        self._cut_chunks(limit)
        self._built = replace(
            built,
            request_body=built.request_body if may_hold_a_prompt(built.request_body) else None,
            chunks=tuple(self.chunks),
            chunk_times=tuple(self.chunk_times),
            body_cut=self.body_cut,
        )
        self.request = None
        self.chunks = []

    def _limit_chunks(self) -> None:
        method, url, _, _ = self.library.request_parts(self.request)
        limit = self._limit_of(method, url)
        if limit is None:
            self._ask_at = math.inf
        else:
            self._ask_at = limit
            self._cut_chunks(limit)

    def _limit_of(self, method: str, url: str) -> int | None:
        limit = self.owner.body_limit
        headers = () if self.headers is None else self.library.header_pairs(self.headers)
        return None if limit is None else limit(method, url, headers)

    def _cut_chunks(self, limit: int) -> None:
        while self.size > limit and self.chunks:
            self.body_cut = True
            last, time = self.chunks.pop(), self.chunk_times.pop()
            self.size -= len(last)
            if self.size < limit:
                self.chunks.append(bytes(last[: limit - self.size]))
                self.chunk_times.append(time)
                self.size = limit


def tee(chunks: Iterator[bytes], builder: ExchangeBuilder) -> Iterator[bytes]:
    """Pass on what is read of a body, and note it; the exchange ends as the reading does: whole, closed, or cut."""
    keep = builder.chunk
    try:
        for chunk in chunks:
            keep(chunk)
            yield chunk
    except GeneratorExit:
        builder.finish("closed")
        raise
    except BaseException as error:
        builder.cut(error)
        raise
    builder.finish("complete")


async def async_tee(chunks: AsyncIterator[bytes], builder: ExchangeBuilder) -> AsyncIterator[bytes]:
    """Pass on what is read of a body asynchronously; see :func:`tee`."""
    keep = builder.chunk
    try:
        async for chunk in chunks:
            keep(chunk)
            yield chunk
    except GeneratorExit:
        builder.finish("closed")
        raise
    except BaseException as error:
        builder.cut(error)
        raise
    else:
        builder.finish("complete")
    finally:
        await close_generator(chunks)


async def close_generator(chunks: Any) -> None:
    """Close a generator that is left behind, as httpx2 does, so that it is not left to the garbage collector."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()


def is_cancellation(error: BaseException) -> bool:
    """Tell whether asyncio, trio or anyio (which uses theirs) cancels with it; none of them is imported to find out."""
    return type(error).__name__ in ("CancelledError", "Cancelled")


def is_encoded(headers: Headers) -> bool:
    """Tell whether a body with these headers is compressed on the wire."""
    codings = {value.strip().lower() for name, value in headers if name == "content-encoding"}
    return not codings <= {"", "identity"}


def _agent_name(span: Any) -> str | None:
    """The span's ``gen_ai.agent.name`` (OpenTelemetry GenAI semantic conventions, read 2026-11-24)."""
    # A span that is not recording has no attributes; one of the SDK has a mapping of them.
    get = getattr(getattr(span, "attributes", None), "get", None)
    name = None if get is None else get("gen_ai.agent.name")
    return str(name) if name else None
