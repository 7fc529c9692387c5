"""WebSockets to models: the clients of ``websockets`` (sync and async) and of aiohttp; each response is a call."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pytest_tokenbudget.capture.active import ACTIVE, Epoch
from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library, builtin_formats
from pytest_tokenbudget.capture.network import origin_of
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.unanswerable import begin_unanswerable
from pytest_tokenbudget.capture.websocket_turns import Conversation, JsonObject, Received, conversation_at

if TYPE_CHECKING:
    from pytest_tokenbudget.records.exchange import Headers

_EVENT_STREAM = (("content-type", "text/event-stream"),)


class WebSocketLibrary(Library):
    """Reads a turn, which has the form of an HTTP request."""

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body of a turn, which is a pair of URL and body."""
        url, body = request
        return "POST", url, (("content-type", "application/json"),), json.dumps(body).encode()


class _Connection:
    """One connection to a model, and the response that is under way on it."""

    def __init__(self, library: WebSocketLibrary, conversation: Conversation) -> None:
        self._library = library
        self._conversation = conversation
        self._builders: list[ExchangeBuilder] = []

    def sent(self, message: Any) -> None:
        """Take a message of the client before it is sent; raises where the run is replayed or scripted."""
        if not isinstance(message, str | bytes):
            return
        try:
            value = json.loads(message)
        except ValueError:
            return
        body = self._conversation.sent(value) if isinstance(value, dict) else None
        if body is not None:
            self._begin(body)

    def _begin(self, body: JsonObject) -> None:
        self._finish("closed")
        request = (self._conversation.url, body)
        self._builders = begin_unanswerable(self._library, request, "over a WebSocket", streamed=True)
        for builder in self._builders:
            builder.arrived(200, _EVENT_STREAM)

    def received(self, message: Any) -> None:
        """Take a message of the server, where it is one of text or bytes."""
        if not ACTIVE.recorders or not isinstance(message, str | bytes):
            return
        text = message if isinstance(message, str) else bytes(message).decode("utf-8", "replace")
        found: Received = self._conversation.received(text)
        if found.begins is not None and not self._builders:
            self._begin(found.begins)
        if found.event is not None and self._builders:
            event = found.event if isinstance(found.event, str) else json.dumps(found.event)
            data = b"data: " + event.replace("\n", " ").encode() + b"\n\n"
            for builder in self._builders:
                builder.chunk(data)
        if found.ends:
            self._finish("complete")

    def _finish(self, end: Any) -> None:
        builders, self._builders = self._builders, []
        for builder in builders:
            builder.finish(end)

    def broke(self, error: BaseException) -> None:
        """The connection was closed, or receiving was cancelled."""
        if type(error).__name__ not in ("TimeoutError", "CancelledError"):
            builders, self._builders = self._builders, []
            for builder in builders:
                builder.cut(error)


class _Connections:
    """The connections of one library, by the client's own objects; ``url_of`` gives their URLs."""

    def __init__(self, library: WebSocketLibrary, url_of: Callable[[Any], str]) -> None:
        self._library = library
        self._url_of = url_of
        self._known: WeakKeyDictionary[Any, _Connection | None] = WeakKeyDictionary()
        self._epoch: Epoch | None = None

    def of(self, client: Any) -> _Connection | None:
        """A connection to a model; ``None`` for any other."""
        if self._epoch is not ACTIVE.epoch:
            self._known.clear()
            self._epoch = ACTIVE.epoch
        if client not in self._known:
            url, _ = ACTIVE.meant_address(self._url_of(client), "")
            conversation = conversation_at(url)
            if conversation is None and _serves_models(url):
                for recorder in ACTIVE.recorders:
                    recorder.note(f"a WebSocket to {url.partition('?')[0]} is not read: its calls are not counted")
            self._known[client] = None if conversation is None else _Connection(self._library, conversation)
        return self._known[client]


def _serves_models(url: str) -> bool:
    from pytest_tokenbudget.providers.classify import serves_models

    return serves_models(url.partition("://")[2].partition("/")[0].partition(":")[0].lower(), builtin_formats())


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of a client's connection that send and receive."""
    library = WebSocketLibrary(client)
    if module.__name__ == "aiohttp.client_ws":
        connections = _Connections(library, lambda ws: str(ws._response.url))
        kind: Any = module.ClientWebSocketResponse
        return (
            Watched(kind, "send_str", partial(_sending, connections)),
            Watched(kind, "send_bytes", partial(_sending, connections)),
            Watched(kind, "receive", partial(_async_receiving, connections, attrgetter("data"))),
        )
    if module.__name__ == "websocket._core":
        urls: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # its connection forgets where it goes
        connections, kind = _Connections(library, lambda connection: urls.get(connection, "")), module.WebSocket
        return (
            Watched(kind, "connect", partial(_connecting, urls), always=True),
            Watched(kind, "send", partial(_sending, connections)),
            Watched(kind, "recv_data_frame", partial(_receiving, connections, _text_of_frame)),
        )
    connections, kind = _Connections(library, _websockets_url), module.ClientConnection
    receiving = _async_receiving if "asyncio" in module.__name__ else _receiving
    return (
        Watched(kind, "send", partial(_sending, connections)),
        Watched(kind, "recv", partial(receiving, connections, None)),
    )


def _text_of_frame(received: Any) -> Any:
    opcode, frame = received
    # Text and bytes (RFC 6455, section 5.2); others are not for the user.
    return frame.data if opcode in (1, 2) else None


def _websockets_url(connection: Any) -> str:
    uri = connection.protocol.uri
    return origin_of("wss" if uri.secure else "ws", uri.host, uri.port) + str(uri.resource_name)


def _connecting(
    urls: WeakKeyDictionary[Any, str], original: Callable[..., Any], client: Any, url: Any, *args: Any, **options: Any
) -> Any:
    urls[client] = str(url)
    return original(client, url, *args, **options)


def _sending(
    connections: _Connections, original: Callable[..., Any], client: Any, message: Any, *args: Any, **options: Any
) -> Any:
    """Note a message that is sent. It serves asynchronous clients too: their caller awaits what is returned."""
    connection = connections.of(client)
    if connection is not None:
        connection.sent(message)
    return original(client, message, *args, **options)


def _receiving(
    connections: _Connections,
    data_of: Callable[[Any], Any] | None,
    original: Callable[..., Any],
    client: Any,
    *args: Any,
    **options: Any,
) -> Any:
    connection = connections.of(client)
    if connection is None:
        return original(client, *args, **options)
    try:
        message = original(client, *args, **options)
    except BaseException as error:
        connection.broke(error)
        raise
    connection.received(message if data_of is None else data_of(message))
    return message


async def _async_receiving(
    connections: _Connections,
    data_of: Callable[[Any], Any] | None,
    original: Callable[..., Any],
    client: Any,
    *args: Any,
    **options: Any,
) -> Any:
    connection = connections.of(client)
    if connection is None:
        return await original(client, *args, **options)
    try:
        message = await original(client, *args, **options)
    except BaseException as error:
        connection.broke(error)
        raise
    connection.received(message if data_of is None else data_of(message))
    return message
