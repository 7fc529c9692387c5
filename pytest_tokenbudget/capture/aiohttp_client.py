"""aiohttp: the public verbs of ``ClientSession``, ``_request`` beneath, which ``aiohttp.request`` calls, and local answers.

The verbs are watched because tools for tests (vcrpy, aioresponses) put something else in the place of ``_request``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from inspect import signature
from types import ModuleType, SimpleNamespace
from typing import Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library
from pytest_tokenbudget.capture.in_flight import InFlightRequest, in_flight_request
from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer
from pytest_tokenbudget.capture.ownership import in_flight
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.urllib3_clients import sent_bytes
from pytest_tokenbudget.records.exchange import Headers

_FAULTS: dict[Fault, str] = {
    "connect_timeout": "ConnectionTimeoutError",
    "read_timeout": "SocketTimeoutError",
    "protocol_error": "ServerDisconnectedError",
    "read_error": "ClientOSError",
}
_LIMIT = 2**16
"""aiohttp's own size of a reader's buffer."""

_VERBS = ("get", "options", "head", "post", "put", "patch", "delete")


async def play(
    module: ModuleType, session: Any, method: str, url: str, answer: LocalAnswer, options: dict[str, Any]
) -> Any:
    """The response of ``aiohttp``, or its own error where the answer is none or its status is to be raised."""
    if not answer.status:
        raise getattr(module, _FAULTS.get(answer.fault or "connect_error", "ClientConnectionError"))(answer.says)
    response = _response(module, session, method, url, answer)
    wanted = options.get("raise_for_status")
    wanted = getattr(session, "_raise_for_status", False) if wanted is None else wanted
    if callable(wanted):
        await wanted(response)
    elif wanted:
        response.raise_for_status()
    return response


def _response(module: ModuleType, session: Any, method: str, url: str, answer: LocalAnswer) -> Any:
    import asyncio

    from aiohttp.helpers import TimerNoop
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL

    headers = CIMultiDict(answer.plain_headers)
    asked = URL(url)
    given = {
        "writer": None,
        "continue100": None,
        "timer": TimerNoop(),
        "request_info": module.RequestInfo(asked, method, CIMultiDictProxy(CIMultiDict()), asked),
        "traces": [],
        "loop": asyncio.get_running_loop(),
        "session": session,
        "stream_writer": SimpleNamespace(output_size=0),
    }
    # Which of these there are differs from version to version.
    known = signature(module.ClientResponse.__init__).parameters
    response = module.ClientResponse(method, asked, **{name: value for name, value in given.items() if name in known})
    response.version = module.HttpVersion11
    response.status = answer.status
    response.reason = answer.reason
    response._headers = CIMultiDictProxy(headers)
    response._raw_headers = tuple((name.encode(), value.encode()) for name, value in headers.items())
    response.content = _reader_class(module)(answer)
    return response


@lru_cache(maxsize=2)
def _reader_class(module: ModuleType) -> Callable[[LocalAnswer], Any]:
    """The class of a body that comes piece by piece, each when it is due: one of aiohttp's."""
    import asyncio

    from aiohttp.base_protocol import BaseProtocol

    class Local(module.StreamReader):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, answer: LocalAnswer) -> None:
            loop = asyncio.get_running_loop()
            super().__init__(BaseProtocol(loop), _LIMIT, loop=loop)
            self._answer = answer
            self._next = 0
            self._end_if_all()

        async def _wait(self, func_name: str) -> None:
            """Whoever reads waits here for more: the next piece comes."""
            answer, number = self._answer, self._next
            if number >= len(answer.chunks):
                return
            if answer.before_chunk_async is not None:
                await answer.before_chunk_async(number)
            self._next += 1
            self.feed_data(answer.chunks[number])
            self._end_if_all()

        def _end_if_all(self) -> None:
            if self._next < len(self._answer.chunks):
                return
            fault = self._answer.fault
            if fault is None:
                self.feed_eof()
            else:
                name = "SocketTimeoutError" if fault.endswith("timeout") else "ClientPayloadError"
                self.set_exception(getattr(module, name)(self._answer.says))

    return Local


class AiohttpRequest:
    """A request of aiohttp, whose own object does not outlive its sending.

    Attributes:
        payload: The JSON body as aiohttp sends it, once it was made.
        info: The response's ``request_info``, once there is a response.
    """

    __slots__ = ("_data", "_headers", "_method", "_url", "info", "payload")

    def __init__(self, method: str, url: Any, data: Any, headers: Any) -> None:
        self._method = method
        self._url = url
        self._data = data
        self._headers = headers
        self.payload: Any = None
        self.info: Any = None

    @property
    def body(self) -> Any:
        """The body as it was given, or as aiohttp has made it of JSON."""
        return self._data if self.payload is None else getattr(self.payload, "_value", None)

    def parts(self) -> tuple[str, str, Any, bytes | None]:
        """Method, URL, headers (aiohttp's, or the caller's own as long as there is no response) and body."""
        body = sent_bytes(self.body)
        if self.info is None:
            return self._method.upper(), str(self._url), self._headers or {}, body
        return self._method.upper(), str(self.info.url), self.info.headers, body


class AiohttpLibrary(Library):
    """Reads aiohttp's objects; aiohttp is the module."""

    def __init__(self, module: ModuleType, client: str) -> None:
        super().__init__(client)
        self.module = module

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body; the body is ``None`` where it is a stream or a form."""
        method, url, headers, body = request.parts()
        return method, url, self.header_pairs(headers), body

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs of a multidict, or of what a caller may hand over as headers."""
        pairs = headers.items() if hasattr(headers, "items") else headers
        return tuple((str(name).lower(), str(value)) for name, value in pairs)


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of ``aiohttp`` to watch."""
    library = AiohttpLibrary(module, client)
    session = module.ClientSession
    return (
        Watched(session, "_request", partial(_inner, library)),
        Watched(session, "request", partial(_public, library, "")),
        *(Watched(session, verb, partial(_public, library, verb.upper())) for verb in _VERBS),
        Watched(module.ClientRequest, "send", _noting_the_network),
    )


def _public(
    library: AiohttpLibrary, verb: str, original: Callable[..., Any], session: Any, *args: Any, **options: Any
) -> Any:
    """A public method; ``verb`` is what it does, where its first argument does not say it."""
    manager = original(session, *args, **options)
    names = ("url",) if verb else ("method", "url")
    given = {**options, **dict(zip(names, args, strict=False))}
    request = _request_of(session, verb or given.get("method"), given.get("url"), options)
    # The manager is awaitable, and so are those that stand in for it; one of its kind is what the caller expects.
    return type(manager)(_watched(library, session, request, manager, options))


def _request_of(session: Any, method: Any, url: Any, options: dict[str, Any]) -> AiohttpRequest:
    if getattr(session, "_base_url", None) is not None and hasattr(session, "_build_url"):
        url = session._build_url(url)
    return AiohttpRequest(str(method), url, options.get("data"), options.get("headers"))


async def _inner(
    library: AiohttpLibrary, original: Callable[..., Awaitable[Any]], session: Any, *args: Any, **options: Any
) -> Any:
    outer = in_flight.get()
    request = outer.request if outer is not None and outer.sender is session else None
    if isinstance(request, AiohttpRequest):
        return await original(session, *args, **_with_payload(library, session, request, options))
    given = {**options, **dict(zip(("method", "str_or_url"), args, strict=False))}
    request = _request_of(session, given.get("method"), given.get("str_or_url"), options)
    options = _with_payload(library, session, request, options)
    return await _watched(library, session, request, original(session, *args, **options), options)


async def _noting_the_network(original: Callable[..., Awaitable[Any]], request: Any, *args: Any, **options: Any) -> Any:
    """``ClientRequest.send`` writes a request to a connection: only what has a network comes here."""
    if (asked := in_flight.get()) is not None:
        asked.carried = True
    return await original(request, *args, **options)


def _with_payload(
    library: AiohttpLibrary, session: Any, request: AiohttpRequest, options: dict[str, Any]
) -> dict[str, Any]:
    """The options with the JSON body as the payload that aiohttp would make of it, so that it is made only once."""
    asked = options.get("json")
    if asked is None or options.get("data") is not None or getattr(session, "_json_serialize_bytes", None) is not None:
        return options
    request.payload = library.module.JsonPayload(asked, dumps=session.json_serialize)
    return {**options, "json": None, "data": request.payload}


async def _watched(
    library: AiohttpLibrary, session: Any, request: AiohttpRequest, sent: Awaitable[Any], options: dict[str, Any]
) -> Any:
    asked = in_flight_request(library, session, request, streamed=True)
    if asked is None:
        return await sent
    try:
        with asked:
            response = await _answered(library, asked, session, request, sent, options)
    finally:
        close = getattr(sent, "close", None)
        if close is not None:
            close()  # where it was answered locally, or refused
    info = getattr(response, "request_info", None)
    if str(getattr(info, "url", "")).startswith("http"):  # a mock's may say nothing
        request.info = info
    if request.payload is None and options.get("json") is not None:
        request.payload = _made(session, options["json"])
    asked.arrived(response.status, response.headers)
    for builder in asked.builders:
        builder.encoded = False if getattr(session, "auto_decompress", True) else None
    _tee(response, asked.builders)
    return response


async def _answered(
    library: AiohttpLibrary,
    asked: InFlightRequest,
    session: Any,
    request: AiohttpRequest,
    sent: Awaitable[Any],
    options: dict[str, Any],
) -> Any:
    """The response to a request that somebody may answer locally; then it is not sent."""
    if session.closed or not asked.may_be_answered:
        return await sent  # a closed session says so
    if request.payload is None and options.get("json") is not None:
        request.payload = _made(session, options["json"])
    answer = await asked.ask_async()
    if answer is None:
        return await sent
    method, url, _, _ = library.request_parts(request)
    return await play(library.module, session, method, url, answer, options)


class _Made:
    __slots__ = ("_value",)

    def __init__(self, value: bytes | None) -> None:
        self._value = value


def _made(session: Any, asked: Any) -> _Made | None:
    """A JSON body that was made where it could not be seen; the caller may change its objects soon."""
    dumps = getattr(session, "_json_serialize_bytes", None) or session.json_serialize
    try:
        return _Made(sent_bytes(dumps(asked)))
    except (TypeError, ValueError, RecursionError):
        return None


def _tee(response: Any, builders: list[ExchangeBuilder]) -> None:
    # A recorder beneath (vcrpy's) has read the body, or made it up.
    body = getattr(response, "_body", None)
    if isinstance(body, bytes):
        for builder in builders:
            builder.whole(body)
        return
    content = getattr(response, "content", None)  # a test's own response may have none
    if content is None or response.status == 101:
        for builder in builders:
            builder.finish("complete")
        return
    response.content = _Content(content, builders)
    if content.at_eof():
        for builder in builders:
            builder.finish("complete")


class _Content:
    """Stands in front of a response's content and notes what is read of it."""

    def __init__(self, content: Any, builders: list[ExchangeBuilder]) -> None:
        self._content = content
        self._builders = builders

    def __getattr__(self, name: str) -> Any:
        if name in ("_content", "_builders"):
            raise AttributeError(name)
        found = getattr(self._content, name)
        return partial(self._noted, found) if name in _READING else found

    def _note(self, data: bytes) -> bytes:
        ended = self._content.at_eof()
        for builder in self._builders:
            if data and builder.end is None:
                builder.chunk(data)
            if ended:
                builder.finish("complete")
        return data

    async def _noted(self, read: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        try:
            data = await read(*args, **options)
        except BaseException as error:
            for builder in self._builders:
                builder.cut(error)
            raise
        self._note(data[0] if isinstance(data, tuple) else data)  # ``readchunk`` says whether it is a chunk's end
        return data

    def read_nowait(self, n: int = -1) -> bytes:
        return self._note(self._content.read_nowait(n))

    def iter_any(self) -> _Pieces:
        return _Pieces(self.readany)

    def iter_chunked(self, n: int) -> _Pieces:
        return _Pieces(lambda: self.read(n))

    def iter_chunks(self) -> _Pieces:
        return _Pieces(self.readchunk, end=(b"", False))

    def __aiter__(self) -> _Pieces:
        return _Pieces(self.readline)

    def set_exception(self, error: Any, *cause: Any) -> None:
        """The response tells its content that it was closed or released."""
        self._content.set_exception(error, *cause)
        for builder in self._builders:
            builder.finish("closed")

    def __del__(self) -> None:
        for builder in self._builders:
            builder.abandon()


_READING = frozenset({"read", "readany", "readline", "readuntil", "readexactly", "readchunk"})
"""The methods of a content that read from it."""


class _Pieces:
    """Reads until nothing comes."""

    def __init__(self, read: Callable[[], Awaitable[Any]], *, end: Any = b"") -> None:
        self._read = read
        self._end = end

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> Any:
        data = await self._read()
        if data == self._end:
            raise StopAsyncIteration
        return data
