"""httpx and httpx2: the public ``send`` of their clients. The module is a parameter, so that one file serves both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import lru_cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library, async_tee, is_encoded, tee
from pytest_tokenbudget.capture.in_flight import InFlightRequest, in_flight_request
from pytest_tokenbudget.capture.patching import Watched

if TYPE_CHECKING:
    from pytest_tokenbudget.records.exchange import Headers


class HttpxLibrary(Library):
    """Reads the objects of ``httpx`` or ``httpx2``, which is the module."""

    def __init__(self, module: ModuleType, client: str) -> None:
        super().__init__(client)
        self.module = module

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
    """The methods of ``httpx`` or ``httpx2`` to watch."""
    library = HttpxLibrary(module, client)
    return (
        Watched(module.Client, "send", partial(_send, library)),
        Watched(module.AsyncClient, "send", partial(_async_send, library)),
    )


def _send(library: HttpxLibrary, original: Callable[..., Any], client: Any, request: Any, **options: Any) -> Any:
    streamed = bool(options.get("stream", False))
    in_flight = in_flight_request(library, client, request, streamed=streamed)
    if in_flight is None:
        return original(client, request, **options)
    with in_flight:
        asked = _asked(library, in_flight, request) if streamed and in_flight.requests_usage else request
        answer = in_flight.ask()
        try:
            if answer is None:
                response = original(client, asked, **options)
            else:
                from pytest_tokenbudget.capture.httpx_answers import play

                response = play(library.module, client, request, answer, streamed=streamed)
        except BaseException as error:
            _note_partial(library.module, in_flight, original, error)
            raise
    _arrived(library, in_flight, response, request, streamed=streamed, kind=0)
    return response


async def _async_send(
    library: HttpxLibrary, original: Callable[..., Awaitable[Any]], client: Any, request: Any, **options: Any
) -> Any:
    streamed = bool(options.get("stream", False))
    in_flight = in_flight_request(library, client, request, streamed=streamed)
    if in_flight is None:
        return await original(client, request, **options)
    with in_flight:
        asked = _asked(library, in_flight, request) if streamed and in_flight.requests_usage else request
        answer = await in_flight.ask_async()
        try:
            if answer is None:
                response = await original(client, asked, **options)
            else:
                from pytest_tokenbudget.capture.httpx_answers import play_async

                response = await play_async(library.module, client, request, answer, streamed=streamed)
        except BaseException as error:
            _note_partial(library.module, in_flight, original, error)
            raise
    _arrived(library, in_flight, response, request, streamed=streamed, kind=1)
    return response


def _asked(library: HttpxLibrary, in_flight: InFlightRequest, request: Any) -> Any:
    """The request that is sent in the place of the caller's, and asks for its usage."""
    from pytest_tokenbudget.capture.request_usage import asking_for_usage

    asked = asking_for_usage(library.module, request)
    if asked is None:
        return request
    in_flight.replace(asked)
    return asked


def _arrived(
    library: HttpxLibrary,
    in_flight: InFlightRequest,
    response: Any,
    request: Any,
    *,
    streamed: bool,
    kind: Literal[0, 1],
) -> None:
    """Note a response: its body where it was read, else what will pass; ``kind`` is 0 for sync and 1 for async streams."""
    module = library.module
    connection = None if in_flight.carried else response.extensions.get("network_stream")
    # httpcore hands up its connection with a response; a mock makes none up.
    network = connection is not None and connection.get_extra_info("socket") is not None
    in_flight.arrived(response.status_code, response.headers, network=network)
    hides_usage = in_flight.request is not request and _shows_usage(library, in_flight, response, request)
    if streamed and not response.is_closed:
        noting = _tees_of(module)[kind]
        for builder in in_flight.builders:
            response.stream = noting(response.stream, builder)
        if hides_usage:
            from pytest_tokenbudget.capture.httpx_answers import hidings_of

            response.stream = hidings_of(module)[kind](response.stream)
        return
    try:
        in_flight.whole(response.content)
    except module.ResponseNotRead:  # it was thrown away
        in_flight.whole(b"")


def _shows_usage(library: HttpxLibrary, in_flight: InFlightRequest, response: Any, request: Any) -> bool:
    """Tell whether the response to a request that took the caller's place holds usage, and name the caller's in it."""
    from pytest_tokenbudget.capture.request_usage import is_event_stream

    if response.request is in_flight.request:
        response.request = request
    headers = library.header_pairs(response.headers)
    return response.status_code == 200 and is_event_stream(headers) and not is_encoded(headers)


class Around:
    """Stands around another stream, and hands on to it whatever it does not know itself."""

    _stream: Any

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":
            raise AttributeError(name)
        return getattr(self._stream, name)


@lru_cache(maxsize=8)
def _tees_of(module: ModuleType) -> tuple[Callable[[Any, ExchangeBuilder], Any], Callable[[Any, ExchangeBuilder], Any]]:
    """The classes that note each chunk that passes, for sync and async streams; each takes a stream and a builder.

    A client checks that a response's stream is an instance of its own module's classes, so these are made once a module.
    """

    class Tee(Around, module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, stream: Any, builder: ExchangeBuilder) -> None:
            self._stream = stream
            self._builder = builder

        def __iter__(self) -> Iterator[bytes]:
            return tee(self._stream, self._builder) if self._builder.end is None else iter(self._stream)

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._builder.finish("closed")

        def __del__(self) -> None:
            self._builder.abandon()

    class AsyncTee(Around, module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the same
        def __init__(self, stream: Any, builder: ExchangeBuilder) -> None:
            self._stream = stream
            self._builder = builder

        def __aiter__(self) -> AsyncIterator[bytes]:
            chunks: AsyncIterator[bytes] = self._stream.__aiter__()
            return async_tee(chunks, self._builder) if self._builder.end is None else chunks

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            except BaseException as error:
                self._builder.cut(error)
                raise
            self._builder.finish("closed")

        def __del__(self) -> None:
            self._builder.abandon()

    return Tee, AsyncTee


def _note_partial(
    module: ModuleType, in_flight: InFlightRequest, original: Callable[..., Any], error: BaseException
) -> None:
    """Note that there was a response where reading its body failed within ``send``: the connection was cut.

    The client closes and drops that response; it is still found in the frame of its ``send``.
    """
    from pytest_tokenbudget.capture.httpx_answers import play, play_async

    senders: set[Any] = {play.__code__, play_async.__code__}
    sender: Any = original
    while sender is not None:
        senders.add(getattr(sender, "__code__", None))
        sender = getattr(sender, "__wrapped__", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in senders:
            response = trace.tb_frame.f_locals.get("response")
            if isinstance(response, module.Response):
                in_flight.arrived(response.status_code, response.headers)
        trace = trace.tb_next
