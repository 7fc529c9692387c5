"""urllib3 where no watched client stands above it: each attempt of its pools, so that their retries are seen too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.in_flight import in_flight_request
from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.capture.requests_client import PlainRequest, PreparedLibrary
from pytest_tokenbudget.capture.urllib3_body import raw_response, teed_body

_ARGUMENTS = ("method", "url", "body", "headers")
"""Arguments of an attempt that may be given by place, after the connection."""


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The method of ``urllib3.connectionpool`` that makes one attempt; urllib3 1 gives no response of its own there."""
    pool = module.HTTPConnectionPool
    if "preload_content" not in signature(pool._make_request).parameters:
        return ()
    return (Watched(pool, "_make_request", partial(_attempt, PreparedLibrary(client))),)


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
    host = f"[{pool.host}]" if ":" in pool.host and not pool.host.startswith("[") else pool.host
    usual = pool.port in (None, 443 if pool.scheme == "https" else 80)
    origin = f"{pool.scheme}://{host}" + ("" if usual else f":{pool.port}")
    target = str(given.get("url"))
    # Through a proxy the target is a whole URL.
    url = target if target.startswith(("http://", "https://")) else origin + target
    headers = given.get("headers")
    return PlainRequest(str(given.get("method")), url, dict(headers or pool.headers or {}), given.get("body"))


def _played(pool: Any, connection: Any, request: PlainRequest, answer: LocalAnswer, *, whole: bool) -> Any:
    """The response to an attempt.

    Raises:
        Exception: urllib3's own error where the answer is none.
    """
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
