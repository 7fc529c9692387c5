"""requests, botocore (which carries Amazon Bedrock's calls), and urllib3 itself where neither stands above it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.exchange_builder import Library
from pytest_tokenbudget.capture.in_flight import in_flight_request
from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer
from pytest_tokenbudget.capture.network import origin_of
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.urllib3_body import play_botocore, play_requests, raw_response, teed_body
from pytest_tokenbudget.records.exchange import Headers

_ARGUMENTS = ("method", "url", "body", "headers")
"""Arguments of an attempt that may be given by place, after the connection."""


@dataclass(slots=True)
class PlainRequest:
    """A request of a library that has no object for it, with its whole URL and the body as it was given."""

    method: str
    url: str
    headers: dict[str, Any]
    body: Any


class PreparedLibrary(Library):
    """Reads requests that have ``method``, ``url``, ``headers`` and ``body``: those of requests, botocore, urllib3."""

    def request_parts(self, request: Any) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body; the body is ``None`` where it is a stream."""
        return (
            str(request.method).upper(),
            str(request.url),
            self.header_pairs(request.headers),
            sent_bytes(request.body),
        )

    def header_pairs(self, headers: Any) -> Headers:
        """The pairs of any mapping of headers."""
        return tuple((_text(name).lower(), _text(value)) for name, value in headers.items())

    def in_process(self, sender: Any, request: Any) -> bool:
        """Tell whether the adapter of a requests session holds an app; botocore's session has no adapters."""
        choose = getattr(sender, "get_adapter", None)
        try:
            return choose is not None and getattr(choose(url=request.url), "app", None) is not None
        except Exception:  # there is none for its scheme, and the session will say so
            return False


def sent_bytes(body: Any) -> bytes | None:
    """A body as bytes, ``None`` where it is neither a text nor bytes."""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods that send.

    Args:
        module: ``requests``, ``botocore.httpsession`` or ``urllib3.connectionpool``; or a tool for tests that goes round
            them: ``requests_mock.mocker`` calls the ``send`` that it found when it was imported, and
            ``moto.core.botocore_stubber`` and ``botocore.stub`` answer before the session is asked.
        client: Name and version of the library.
    """
    library = PreparedLibrary(client)
    match module.__name__:
        case "requests":
            return (Watched(module.Session, "send", partial(_requests_send, library, module)),)
        case "requests_mock.mocker":
            return (Watched(module, "_original_send", partial(_requests_send, library, module.requests)),)
        case "botocore.httpsession":
            return (Watched(module.URLLib3Session, "send", partial(_botocore_send, library)),)
        case "moto.core.botocore_stubber":
            return (Watched(module.BotocoreStubber, "__call__", partial(_answered_by_moto, library)),)
        case "botocore.stub":
            return (Watched(module.Stubber, "activate", _noting_the_stubber),)
    pool = module.HTTPConnectionPool
    # urllib3 1 gives no response of its own there.
    makes_response = "preload_content" in signature(pool._make_request).parameters
    return (Watched(pool, "_make_request", partial(_attempt, library)),) if makes_response else ()


def _requests_send(
    library: PreparedLibrary,
    module: ModuleType,
    original: Callable[..., Any],
    session: Any,
    request: Any,
    **options: Any,
) -> Any:
    streamed = bool(options.get("stream", session.stream))
    in_flight = in_flight_request(library, session, request, streamed=streamed)
    if in_flight is None:
        return original(session, request, **options)
    with in_flight:
        answer = in_flight.ask()
        if answer is None:
            response = original(session, request, **options)
        else:
            response = play_requests(module, request, answer, options, streamed=streamed)
    in_flight.arrived(response.status_code, response.headers)
    # Whether the body was read is known to the response alone: a hook may have read one that was to be streamed.
    if streamed and response.raw is not None and not getattr(response, "_content_consumed", False):
        response.raw = teed_body(response.raw, in_flight.builders)
    else:
        in_flight.whole(response.content or b"")
    return response


def _botocore_send(library: PreparedLibrary, original: Callable[..., Any], session: Any, request: Any) -> Any:
    streamed = bool(getattr(request, "stream_output", False))
    in_flight = in_flight_request(library, session, request, streamed=streamed)
    if in_flight is None:
        return original(session, request)
    with in_flight:
        answer = in_flight.ask()
        if answer is None:
            response = original(session, request)
        else:
            response = play_botocore(request, answer, streamed=streamed)
    in_flight.arrived(response.status_code, response.headers)
    if streamed:
        response.raw = teed_body(response.raw, in_flight.builders)
    else:
        in_flight.whole(response.content or b"")
    return response


def _noting_the_stubber(original: Callable[..., Any], stubber: Any) -> Any:
    for recorder in ACTIVE.recorders:
        recorder.connections.bypasses.append("botocore.stub.Stubber answers before a request is made")
    return original(stubber)


def _answered_by_moto(
    library: PreparedLibrary,
    original: Callable[..., Any],
    stubber: Any,
    event_name: str,
    request: Any,
    **options: Any,
) -> Any:
    in_flight = in_flight_request(library, stubber, request, streamed=False) if stubber.enabled else None
    if in_flight is None:
        return original(stubber, event_name, request, **options)
    with in_flight:
        response = original(stubber, event_name, request, **options)
    if response is None:  # it is none of moto's, and the session will send it
        in_flight.forget()
    else:
        in_flight.arrived(response.status_code, response.headers)
        in_flight.whole(response.content or b"")
        response.raw.seek(0)
        response._content = None
    return response


def _attempt(
    library: PreparedLibrary, original: Callable[..., Any], pool: Any, connection: Any, *args: Any, **options: Any
) -> Any:
    given = {**options, **dict(zip(_ARGUMENTS, args, strict=False))}
    request = _request_of(pool, given)
    whole = bool(given.get("preload_content", True))
    in_flight = in_flight_request(library, pool, request, streamed=not whole, below=True)
    if in_flight is None:
        return original(pool, connection, *args, **options)
    with in_flight:
        answer = in_flight.ask()
        if answer is None:
            response = original(pool, connection, *args, **options)
        else:
            response = _played(pool, connection, request, answer, whole=whole)
    if response.get_redirect_location():
        in_flight.forget()  # it is sent to another place, where it is seen
        return response
    in_flight.arrived(response.status, response.headers)
    if not whole:
        return teed_body(response, in_flight.builders)
    in_flight.whole(response.data or b"")
    return response


def _request_of(pool: Any, given: dict[str, Any]) -> PlainRequest:
    target = str(given.get("url"))
    # Through a proxy the target is a whole URL.
    whole = target.startswith(("http://", "https://"))
    url = target if whole else origin_of(pool.scheme, pool.host, pool.port) + target
    headers = given.get("headers")
    return PlainRequest(str(given.get("method")), url, dict(headers or pool.headers or {}), given.get("body"))


def _played(pool: Any, connection: Any, request: PlainRequest, answer: LocalAnswer, *, whole: bool) -> Any:
    """The response to an attempt, or urllib3's own error where the answer is none."""
    if not answer.status:
        raise _error_of(pool, connection, request, answer)
    response = raw_response(answer, request.url)
    if whole:
        response.data  # noqa: B018  # reads it, as the pool does
    return response


def _error_of(pool: Any, connection: Any, request: PlainRequest, answer: LocalAnswer) -> Exception:
    from urllib3 import exceptions

    fault: Fault = answer.fault or "connect_error"
    if fault == "connect_timeout":
        return exceptions.ConnectTimeoutError(connection, answer.says)
    if fault.endswith("timeout"):
        return exceptions.ReadTimeoutError(pool, request.url, answer.says)
    if fault == "connect_error":
        return exceptions.NewConnectionError(connection, answer.says)
    return exceptions.ProtocolError(answer.says)
