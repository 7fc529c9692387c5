"""lm15, DSPy's own engine: its transports over sockets, synchronous and asynchronous, alone or as a part of DSPy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.in_flight import InFlightRequest, in_flight_request
from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.records.exchange import Headers

_FAULTS: dict[Fault, str] = {
    "connect_timeout": "ConnectTimeout",
    "read_timeout": "ReadTimeout",
    "write_timeout": "WriteTimeout",
    "pool_timeout": "TransportError",
    "connect_error": "ConnectError",
    "read_error": "ReadError",
    "write_error": "WriteError",
    "protocol_error": "ProtocolError",
}


class Lm15Library:
    """Reads a ``TransportRequest``.

    Args:
        client: Name and version of the library.
    """

    def __init__(self, client: str) -> None:
        self.client = client

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body."""
        return request.method.upper(), request.url, self.header_pairs(request.headers), request.body

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs, with names in lower case."""
        return tuple((name.lower(), value) for name, value in headers)

    def in_process(self, sender: object, request: object) -> bool:
        """No: its transports are sockets."""
        return False


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of ``lm15.transports`` that send a request and give its response."""
    library = Lm15Library(client)
    return (
        Watched(module.StdlibTransport, "stream", lambda send: _sending(library, module, send)),
        Watched(module.StdlibAsyncTransport, "_do_stream", lambda send: _async_sending(library, module, send)),
    )


def _sending(library: Lm15Library, module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    def stream(self: Any, request: Any) -> Any:
        in_flight = in_flight_request(library, self, request, streamed=True)
        if in_flight is None:
            return original(self, request)
        in_flight.begin()
        try:
            answer = None if in_flight.plain else in_flight.ask()
            response = original(self, request) if answer is None else _played(module, answer, asynchronous=False)
        except BaseException as error:
            in_flight.failed(error)
            raise
        finally:
            in_flight.end()
        return _teed(in_flight, response, _tee)

    return stream


def _async_sending(
    library: Lm15Library, module: ModuleType, original: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    async def stream(self: Any, request: Any) -> Any:
        in_flight = in_flight_request(library, self, request, streamed=True)
        if in_flight is None:
            return await original(self, request)
        in_flight.begin()
        try:
            answer = None if in_flight.plain else await in_flight.ask_async()
            response = await original(self, request) if answer is None else _played(module, answer, asynchronous=True)
        except BaseException as error:
            in_flight.failed(error)
            raise
        finally:
            in_flight.end()
        return _teed(in_flight, response, _async_tee)

    return stream


def _teed(in_flight: InFlightRequest, response: Any, tee: Callable[[Any, ExchangeBuilder], Any]) -> Any:
    """The response, with what is read of it noted; its transport decodes it."""
    in_flight.arrived(response.status, response.headers)
    for builder in in_flight.builders:
        builder.encoded = False
        response._chunks = tee(response._chunks, builder)
    return response


def _tee(chunks: Iterator[bytes], builder: ExchangeBuilder) -> Iterator[bytes]:
    with builder as keep:
        for chunk in chunks:
            keep(chunk)
            yield chunk


async def _async_tee(chunks: AsyncIterator[bytes], builder: ExchangeBuilder) -> AsyncIterator[bytes]:
    with builder as keep:
        async for chunk in chunks:
            keep(chunk)
            yield chunk


def _played(module: ModuleType, answer: LocalAnswer, *, asynchronous: bool) -> Any:
    """The response of a transport whose body comes piece by piece, each when it is due.

    Raises:
        Exception: lm15's own error where the answer is none.
    """
    error = None if answer.fault is None else getattr(module, _FAULTS[answer.fault], module.TransportError)(answer.says)
    if not answer.status:
        raise error or module.ConnectError(answer.says)
    made = {
        "status": answer.status,
        "reason": answer.reason,
        "headers": list(answer.plain_headers),
        "http_version": "HTTP/1.1",
    }
    if asynchronous:
        return module.AsyncTransportResponse(**made, chunks=_async_chunks(answer, error), release=_async_release)
    return module.TransportResponse(**made, chunks=_chunks(answer, error), release=lambda body_consumed: None)


async def _async_release(body_consumed: bool) -> None:
    """No connection is to be given back."""


def _chunks(answer: LocalAnswer, error: Exception | None) -> Iterator[bytes]:
    for number, chunk in enumerate(answer.chunks):
        if answer.before_chunk is not None:
            answer.before_chunk(number)
        yield chunk
    if error is not None:
        raise error


async def _async_chunks(answer: LocalAnswer, error: Exception | None) -> AsyncIterator[bytes]:
    for number, chunk in enumerate(answer.chunks):
        if answer.before_chunk_async is not None:
            await answer.before_chunk_async(number)
        yield chunk
    if error is not None:
        raise error
