"""httpx and httpx2: the public ``send`` of their clients. The module is a parameter, so that one file serves both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.exchange_builder import is_encoded
from pytest_tokenbudget.capture.httpx_streams import hidings_of, play, play_async, tees_of
from pytest_tokenbudget.capture.in_flight import InFlightRequest, in_flight_request
from pytest_tokenbudget.capture.patching import Watched

if TYPE_CHECKING:
    from pytest_tokenbudget.records.exchange import Headers


@dataclass(frozen=True, slots=True)
class HttpxLibrary:
    """Reads the objects of ``httpx`` or ``httpx2``.

    Attributes:
        module: The module.
        client: Its name and version.
    """

    module: ModuleType
    client: str

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body; the body is ``None`` where it is a stream that nobody read."""
        try:
            body: bytes | None = request.content
        except self.module.RequestNotRead:
            body = None
        return request.method.upper(), str(request.url), self.header_pairs(request.headers), body

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs of a ``Headers`` object, which gives names in lower case."""
        return tuple(headers.multi_items())

    def in_process(self, sender: Any, request: Any) -> bool:
        """Tell whether the transport holds an app: ``ASGITransport``, ``WSGITransport``, and that of starlette's ``TestClient``."""
        choose = getattr(sender, "_transport_for_url", None)
        transport = None if choose is None else choose(request.url)
        return getattr(transport, "app", None) is not None


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods to watch.

    Args:
        module: ``httpx`` or ``httpx2``.
        client: Its name and version.
    """
    library = HttpxLibrary(module, client)
    return (
        Watched(module.Client, "send", lambda send: _send(library, send)),
        Watched(module.AsyncClient, "send", lambda send: _async_send(library, send)),
    )


def _send(library: HttpxLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    senders = _codes(original, play)

    def send(self: Any, request: Any, **options: Any) -> Any:
        if not ACTIVE.recorders:
            return original(self, request, **options)
        streamed = bool(options.get("stream", False))
        in_flight = in_flight_request(library, self, request, streamed=streamed)
        if in_flight is None:
            return original(self, request, **options)
        in_flight.begin()
        try:
            if in_flight.plain:
                response = original(self, request, **options)
            else:
                response = _send_prepared(library, in_flight, original, self, request, options)
        except BaseException as error:
            _note_partial(library.module, in_flight, senders, error)
            in_flight.failed(error)
            raise
        finally:
            in_flight.end()
        _note_response(library.module, in_flight, response, streamed=streamed, kind=0)
        return response

    return send


def _async_send(library: HttpxLibrary, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    senders = _codes(original, play_async)

    async def send(self: Any, request: Any, **options: Any) -> Any:
        if not ACTIVE.recorders:
            return await original(self, request, **options)
        streamed = bool(options.get("stream", False))
        in_flight = in_flight_request(library, self, request, streamed=streamed)
        if in_flight is None:
            return await original(self, request, **options)
        in_flight.begin()
        try:
            if in_flight.plain:
                response = await original(self, request, **options)
            else:
                response = await _async_send_prepared(library, in_flight, original, self, request, options)
        except BaseException as error:
            _note_partial(library.module, in_flight, senders, error)
            in_flight.failed(error)
            raise
        finally:
            in_flight.end()
        _note_response(library.module, in_flight, response, streamed=streamed, kind=1)
        return response

    return send


def _note_response(
    module: ModuleType, in_flight: InFlightRequest, response: Any, *, streamed: bool, kind: Literal[0, 1]
) -> None:
    """Note a response: its body where it was read, else what will pass; ``kind`` as for :func:`_teed`."""
    in_flight.arrived(response.status_code, response.headers, network=not in_flight.carried and _has_network(response))
    if not streamed or response.is_closed:
        in_flight.whole(_content(module, response))
    else:
        response.stream = _teed(module, response.stream, in_flight, kind)


def _has_network(response: Any) -> bool:
    """Tell whether a response was read from a socket: httpcore hands up the connection with it, where no mock made it up."""
    stream = response.extensions.get("network_stream")
    return stream is not None and stream.get_extra_info("socket") is not None


def _send_prepared(
    library: HttpxLibrary,
    in_flight: InFlightRequest,
    original: Callable[..., Any],
    client: Any,
    request: Any,
    options: dict[str, Any],
) -> Any:
    """Send a request that somebody may answer or wants to ask for its usage."""
    asked = _asked(library, in_flight, request, options)
    answer = in_flight.ask()
    if answer is not None:
        response = play(library.module, client, request, answer, streamed=bool(options.get("stream")))
    else:
        response = original(client, asked, **options)
    return _returned(library, in_flight, response, request, asked)


async def _async_send_prepared(
    library: HttpxLibrary,
    in_flight: InFlightRequest,
    original: Callable[..., Awaitable[Any]],
    client: Any,
    request: Any,
    options: dict[str, Any],
) -> Any:
    asked = _asked(library, in_flight, request, options)
    answer = await in_flight.ask_async()
    if answer is not None:
        response = await play_async(library.module, client, request, answer, streamed=bool(options.get("stream")))
    else:
        response = await original(client, asked, **options)
    return _returned(library, in_flight, response, request, asked)


def _asked(library: HttpxLibrary, in_flight: InFlightRequest, request: Any, options: dict[str, Any]) -> Any:
    """The request that is sent: the caller's, or one that asks for usage in its place."""
    if not (in_flight.requests_usage and options.get("stream")):
        return request
    from pytest_tokenbudget.capture.request_usage import asking_for_usage

    asked = asking_for_usage(library.module, request)
    if asked is None:
        return request
    in_flight.replace(asked)
    return asked


def _returned(library: HttpxLibrary, in_flight: InFlightRequest, response: Any, request: Any, asked: Any) -> Any:
    """The response, as if the caller's own request had been sent."""
    if asked is not request:
        from pytest_tokenbudget.capture.request_usage import is_event_stream

        headers = library.header_pairs(response.headers)
        in_flight.hides_usage = response.status_code == 200 and is_event_stream(headers) and not is_encoded(headers)
        if response.request is asked:
            response.request = request
    return response


def _teed(module: ModuleType, stream: Any, in_flight: InFlightRequest, kind: Literal[0, 1]) -> Any:
    """The stream that notes what passes; ``kind`` is 0 for synchronous and 1 for asynchronous streams."""
    tee = tees_of(module)[kind]
    for builder in in_flight.builders:
        stream = tee(stream, builder)
    return hidings_of(module)[kind](stream) if in_flight.hides_usage else stream


def _content(module: ModuleType, response: Any) -> bytes:
    """The body that the client, one of its hooks or its transport has read; nothing where it was thrown away."""
    try:
        content: bytes = response.content
    except module.ResponseNotRead:
        return b""
    return content


def _codes(*functions: Any) -> frozenset[Any]:
    """The code of functions, and of those that they wrap."""
    codes = set()
    for function in functions:
        wrapped = function
        while wrapped is not None:
            codes.add(getattr(wrapped, "__code__", None))
            wrapped = getattr(wrapped, "__wrapped__", None)
    return frozenset(codes)


def _note_partial(
    module: ModuleType, in_flight: InFlightRequest, senders: frozenset[Any], error: BaseException
) -> None:
    """Note that there was a response where reading its body failed within ``send``: the connection was cut.

    The client closes and drops that response; it is still found in the frame of its ``send``.
    """
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in senders:
            response = trace.tb_frame.f_locals.get("response")
            if isinstance(response, module.Response):
                in_flight.arrived(response.status_code, response.headers)
        trace = trace.tb_next
