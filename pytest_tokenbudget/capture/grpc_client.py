"""Models over gRPC: the calls of ``grpc`` and ``grpc.aio`` channels, plain and streamed.

Messages are kept as they are and become JSON when they are read. Google's are in the REST form of the same API then, by
protobuf's own mapping; those of xAI are put into the form of OpenAI's chat completions, which is that of its REST API.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder, Library
from pytest_tokenbudget.capture.grpc_messages import as_json, xai_answer, xai_request
from pytest_tokenbudget.capture.network import opened_by, split_port
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.unanswerable import begin_unanswerable

if TYPE_CHECKING:
    from pytest_tokenbudget.records.exchange import Headers

_GOOGLE = {
    "GenerateContent": "generateContent",
    "StreamGenerateContent": "streamGenerateContent?alt=sse",
    "EmbedContent": "embedContent",
    "BatchEmbedContents": "batchEmbedContents",
    "Predict": "predict",
}
_OTHER = frozenset({"CountTokens", "ComputeTokens", "GetModel", "ListModels", "CountMessageTokens", "CountTextTokens"})
"""Methods of model services that call no model."""

_MODEL_SERVICES = (".PredictionService", ".GenerativeService", ".TextService", ".DiscussService")
_XAI_OTHER = frozenset(
    f"xai_api.{name}" for name in ("Auth", "Collections", "Documents", "Files", "Models", "Tokenize", "Usage")
)
"""Services of xAI's that call no model."""

_XAI = frozenset({"GetCompletion", "GetCompletionChunk"})
# google.rpc.Code as HTTP (google/rpc/code.proto, read 2026-11-28).
_STATUS = {3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 12: 501, 13: 500, 14: 503, 16: 401}


class GrpcRequest(NamedTuple):
    """A call: service and name of the method, and the message."""

    service: str
    method: str
    message: Any


class GrpcLibrary(Library):
    """Reads a call, which has the form of an HTTP request."""

    def request_parts(self, request: GrpcRequest) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body in the form of the REST API."""
        message = as_json(request.message)
        headers = (("content-type", "application/json"),)
        if request.service.startswith("xai_api."):
            body = xai_request(message, streamed=request.method == "GetCompletionChunk")
            return "POST", "https://api.x.ai/v1/chat/completions", headers, json.dumps(body).encode()
        model = str(message.pop("model", "") or message.pop("endpoint", ""))
        host = "aiplatform" if "aiplatform" in request.service else "generativelanguage"
        version = next((part for part in request.service.split(".") if part.startswith("v1")), "v1")
        url = f"https://{host}.googleapis.com/{version}/{model}:{_GOOGLE.get(request.method, request.method)}"
        return "POST", url, headers, json.dumps(message).encode()


class _Call:
    """A call under way, for all recorders."""

    def __init__(self, library: GrpcLibrary, request: GrpcRequest, *, streamed: bool) -> None:
        self._xai = request.service.startswith("xai_api.")
        self._streamed = streamed
        self._builders: list[ExchangeBuilder] = begin_unanswerable(library, request, "over gRPC", streamed=streamed)
        self._arrived = False

    def message(self, message: Any) -> None:
        """Take a message of the answer."""
        value = as_json(message)
        text = json.dumps(xai_answer(value) if self._xai else value).encode()
        self._arrive(200)
        for builder in self._builders:
            builder.chunk(b"data: " + text + b"\n\n" if self._streamed else text)

    def _arrive(self, status: int) -> None:
        if not self._arrived:
            self._arrived = True
            kind = "text/event-stream" if self._streamed and status == 200 else "application/json"
            for builder in self._builders:
                builder.arrived(status, (("content-type", kind),))

    def finish(self) -> None:
        """The answer is complete."""
        for builder in self._builders:
            builder.finish("complete")

    def failed(self, error: BaseException) -> None:
        """The call failed."""
        code = getattr(error, "code", None)
        value = getattr(code() if callable(code) else None, "value", (None,))[0]
        if value is not None and not self._arrived:
            self._arrive(_STATUS.get(value, 500))
            self.finish()
            return
        for builder in self._builders:
            builder.cut(error) if self._arrived else builder.fail(error)


def _begin(library: GrpcLibrary, called: Any, message: Any, *, streamed: bool) -> _Call | None:
    """Begin a call of gRPC's object for a method of a channel; ``None`` for what calls no model. It may be refused."""
    service, name = _names(called)
    if (_is_google(service) and name in _GOOGLE) or (service == "xai_api.Chat" and name in _XAI):
        return _Call(library, GrpcRequest(service, name, message), streamed=streamed)
    _pass_by(called)
    return None


def _names(called: Any) -> tuple[str, str]:
    """Service and method."""
    method = getattr(called, "_method", "")
    path = method.decode() if isinstance(method, bytes) else str(method)
    service, _, name = path.lstrip("/").rpartition("/")
    return service, name


def _is_google(service: str) -> bool:
    return service.startswith("google.") and service.endswith(_MODEL_SERVICES)


def _pass_by(called: Any) -> None:
    """Take note of a method that is not read, and of the connection that carries it, which may be refused."""
    service, name = _names(called)
    host, port = _target(called)
    for recorder in ACTIVE.recorders:
        if host:
            recorder.connections.check(host, port, opened_by)
        if not recorder.recording:
            continue
        if (_is_google(service) and name not in _OTHER) or (
            service.startswith("xai_api.") and service not in _XAI_OTHER
        ):
            recorder.note(f"the gRPC method {service}/{name} is not read: if it calls a model, that is not counted")
        elif host and not service.startswith(("google.", "xai_api.")):
            recorder.connections.note(host, port, opened_by)


def _target(called: Any) -> tuple[str, int | None]:
    """Host and port of a channel; gRPC opens its connections by itself, where Python does not see them."""
    target = getattr(called, "_target", None) or getattr(getattr(called, "_channel", None), "target", None)
    text = target.decode() if isinstance(target, bytes) else str(target or "")
    if text.startswith("unix"):
        return "", None
    host, port = split_port(text.rpartition("/")[2].removeprefix("ipv4:").removeprefix("ipv6:").removeprefix("dns:"))
    return host.lower(), 443 if port is None else port


_Streams = WeakKeyDictionary[Any, _Call]
"""The calls under way whose answers are streams, by gRPC's own objects for these."""


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods of ``grpc``'s own channels that call, and those that read answers."""
    library = GrpcLibrary(client)
    if module.__name__ == "grpc.aio":
        return _watched_async(module, library)
    from grpc import _channel

    streams: _Streams = WeakKeyDictionary()
    futures: WeakKeyDictionary[Any, _Pending] = WeakKeyDictionary()
    future, plain = _channel._MultiThreadedRendezvous, _channel._UnaryUnaryMultiCallable
    streaming = (_channel._UnaryStreamMultiCallable, _channel._SingleThreadedUnaryStreamMultiCallable)
    not_read = (_channel._StreamUnaryMultiCallable, _channel._StreamStreamMultiCallable)
    return (
        Watched(plain, "__call__", partial(_unary, library, False)),
        Watched(plain, "with_call", partial(_unary, library, True)),
        Watched(plain, "future", partial(_future, library, futures)),
        *(Watched(kind, "__call__", partial(_stream, library, streams)) for kind in streaming),
        *(
            Watched(kind, name, _passing_by)
            for kind in not_read
            for name in ("__call__", "with_call", "future")
            if hasattr(kind, name)
        ),
        Watched(_channel._Rendezvous, "__next__", partial(_next, streams), always=True),
        *(Watched(future, name, partial(_reading_result, futures), always=True) for name in ("result", "exception")),
    )


def _passing_by(original: Callable[..., Any], called: Any, *args: Any, **options: Any) -> Any:
    _pass_by(called)
    return original(called, *args, **options)


def _unary(
    library: GrpcLibrary,
    with_call: bool,
    original: Callable[..., Any],
    called: Any,
    request: Any,
    *args: Any,
    **options: Any,
) -> Any:
    begun = _begin(library, called, request, streamed=False)
    if begun is None:
        return original(called, request, *args, **options)
    done = _started(begun, lambda: original(called, request, *args, **options))
    begun.message(done[0] if with_call else done)
    begun.finish()
    return done


def _future(
    library: GrpcLibrary,
    futures: WeakKeyDictionary[Any, _Pending],
    original: Callable[..., Any],
    called: Any,
    request: Any,
    *args: Any,
    **options: Any,
) -> Any:
    begun = _begin(library, called, request, streamed=False)
    if begun is None:
        return original(called, request, *args, **options)
    future = _started(begun, lambda: original(called, request, *args, **options))
    futures[future] = pending = _Pending(begun)
    future.add_done_callback(pending.settle)
    return future


class _Pending:
    """A call whose answer is a future. Whoever learns first that it is done notes the answer: its callback or its reader."""

    def __init__(self, begun: _Call) -> None:
        self._begun: _Call | None = begun
        self._lock = RLock()  # reading the result comes here again

    def settle(self, future: Any) -> None:
        """Note the answer of a future that is done."""
        with self._lock:
            begun, self._begun = self._begun, None
            if begun is None:
                return
            try:
                begun.message(future.result())
            except BaseException as error:
                begun.failed(error)
            else:
                begun.finish()


def _reading_result(
    futures: WeakKeyDictionary[Any, _Pending], original: Callable[..., Any], future: Any, *args: Any, **options: Any
) -> Any:
    """``result`` and ``exception`` of a future: they return before its callbacks were called, in another thread."""
    try:
        return original(future, *args, **options)
    finally:
        pending = futures.get(future)
        if pending is not None and future.done():
            pending.settle(future)


def _stream(
    library: GrpcLibrary,
    streams: _Streams,
    original: Callable[..., Any],
    called: Any,
    request: Any,
    *args: Any,
    **options: Any,
) -> Any:
    begun = _begin(library, called, request, streamed=True)
    if begun is None:
        return original(called, request, *args, **options)
    answer = _started(begun, lambda: original(called, request, *args, **options))
    streams[answer] = begun
    return answer


def _started(begun: _Call, start: Callable[[], Any]) -> Any:
    """Start a call; where its channel is closed, it failed."""
    try:
        return start()
    except BaseException as error:
        begun.failed(error)
        raise


def _next(streams: _Streams, original: Callable[[Any], Any], answer: Any) -> Any:
    begun = streams.get(answer)
    if begun is None:
        return original(answer)
    try:
        message = original(answer)
    except StopIteration:
        begun.finish()
        raise
    except BaseException as error:
        begun.failed(error)
        raise
    begun.message(message)
    return message


_called: ContextVar[Any] = ContextVar("tokenbudget_grpc_called", default=None)
"""gRPC's object for the method that an asynchronous call is made of: the call itself does not know it."""


def _watched_async(module: ModuleType, library: GrpcLibrary) -> tuple[Watched, ...]:
    from grpc.aio import _call, _channel

    streams: _Streams = WeakKeyDictionary()
    reading = partial(_async_read, streams, module.EOF)
    return (
        Watched(_channel.UnaryUnaryMultiCallable, "__call__", _naming, always=True),
        Watched(_channel.UnaryStreamMultiCallable, "__call__", _naming, always=True),
        Watched(_channel.StreamUnaryMultiCallable, "__call__", _passing_by),
        Watched(_channel.StreamStreamMultiCallable, "__call__", _passing_by),
        Watched(_call.UnaryUnaryCall, "_invoke", partial(_async_unary, library, module.EOF)),
        Watched(_call.UnaryStreamCall, "_send_unary_request", partial(_async_stream, library, streams)),
        Watched(_call.UnaryStreamCall, "_read", partial(reading, True), always=True),
        # It does not ask ``_read`` for the end where the status of the call came before.
        Watched(_call.UnaryStreamCall, "read", partial(reading, False), always=True),
    )


def _naming(original: Callable[..., Any], called: Any, *args: Any, **options: Any) -> Any:
    token = _called.set(called)
    try:
        return original(called, *args, **options)
    finally:
        _called.reset(token)


async def _async_unary(library: GrpcLibrary, end: Any, original: Callable[..., Any], call: Any) -> Any:
    begun = _begin(library, _called.get(), call._request, streamed=False)
    if begun is None:
        return await original(call)
    try:
        message = await original(call)
    except BaseException as error:
        begun.failed(error)
        raise
    if message is end:
        begun.failed(await _error_of(call) or EOFError())
    else:
        begun.message(message)
        begun.finish()
    return message


async def _async_stream(library: GrpcLibrary, streams: _Streams, original: Callable[..., Any], call: Any) -> Any:
    begun = _begin(library, _called.get(), call._request, streamed=True)
    if begun is None:
        return await original(call)
    streams[call] = begun
    try:
        return await original(call)
    except BaseException as error:
        begun.failed(error)
        raise


async def _async_read(streams: _Streams, end: Any, messages: bool, original: Callable[..., Any], call: Any) -> Any:
    try:
        message = await original(call)
    except BaseException as error:
        if (begun := streams.get(call)) is not None:
            begun.failed(error)
        raise
    if (begun := streams.get(call)) is not None:
        if message is not end:
            if messages:
                begun.message(message)
        elif (failure := await _error_of(call)) is None:
            begun.finish()
        else:
            begun.failed(failure)
    return message


async def _error_of(call: Any) -> Exception | None:
    """The failure of an asynchronous call, with the code that it ended with; ``None`` where it succeeded.

    The status of a call arrives apart from its last message, often later: it has to be waited for.
    """
    code = await call.code()
    if code.value[0] == 0:
        return None
    error = type("AioRpcError", (Exception,), {"code": lambda self: code})
    failure: Exception = error()
    return failure
