"""lm15, DSPy's own engine: its transports over sockets, synchronous and asynchronous, alone or as a part of DSPy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library, async_tee, tee
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


class Lm15Library(Library):
    """Reads a ``TransportRequest``."""

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body."""
        return request.method.upper(), request.url, self.header_pairs(request.headers), request.body

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs, with names in lower case."""
        return tuple((name.lower(), value) for name, value in headers)


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of ``lm15.transports`` that send a request and give its response."""
    library = Lm15Library(client)
    return (
        Watched(module.StdlibTransport, "stream", partial(_stream, library, module)),
        Watched(module.StdlibAsyncTransport, "_do_stream", partial(_async_stream, library, module)),
    )


def _stream(
    library: Lm15Library, module: ModuleType, original: Callable[..., Any], transport: Any, request: Any
) -> Any:
    in_flight = in_flight_request(library, transport, request, streamed=True)
    if in_flight is None:
        return original(transport, request)
    with in_flight:
        answer = in_flight.ask()
        response = original(transport, request) if answer is None else _played(module, answer, asynchronous=False)
    return _teed(in_flight, response, tee)


async def _async_stream(
    library: Lm15Library, module: ModuleType, original: Callable[..., Awaitable[Any]], transport: Any, request: Any
) -> Any:
    in_flight = in_flight_request(library, transport, request, streamed=True)
    if in_flight is None:
        return await original(transport, request)
    with in_flight:
        answer = await in_flight.ask_async()
        response = await original(transport, request) if answer is None else _played(module, answer, asynchronous=True)
    return _teed(in_flight, response, async_tee)


def _teed(in_flight: InFlightRequest, response: Any, noting: Callable[[Any, ExchangeBuilder], Any]) -> Any:
    """The response, with what is read of it noted; its transport decodes it."""
    in_flight.arrived(response.status, response.headers)
    for builder in in_flight.builders:
        builder.encoded = False
        response._chunks = noting(response._chunks, builder)
    return response


def _played(module: ModuleType, answer: LocalAnswer, *, asynchronous: bool) -> Any:
    """The response of a transport whose body comes when it is due; raises lm15's own error where the answer is none."""
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
        return module.AsyncTransportResponse(**made, chunks=answer.pieces_async(error), release=_async_release)
    return module.TransportResponse(**made, chunks=answer.pieces(error), release=lambda body_consumed: None)


async def _async_release(body_consumed: bool) -> None:
    """No connection is to be given back."""
