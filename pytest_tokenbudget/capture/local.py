"""A response that is given locally: a real response object of the client's own module."""

from __future__ import annotations

from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.answer import Fault, LocalAnswer
from pytest_tokenbudget.capture.httpx_streams import streams_of

if TYPE_CHECKING:
    from collections.abc import Callable

_FAULTS: dict[Fault, str] = {
    "connect_timeout": "ConnectTimeout",
    "read_timeout": "ReadTimeout",
    "write_timeout": "WriteTimeout",
    "pool_timeout": "PoolTimeout",
    "connect_error": "ConnectError",
    "read_error": "ReadError",
    "write_error": "WriteError",
    "protocol_error": "RemoteProtocolError",
}


def play(module: ModuleType, client: Any, request: Any, answer: LocalAnswer, *, streamed: bool) -> Any:
    """Answer a synchronous client, and run its event hooks.

    Args:
        module: ``httpx`` or ``httpx2``.
        client: The client.
        request: Its request.
        answer: The answer.
        streamed: Whether the caller asked for a streamed response; the body is read at once if not.

    Returns:
        The module's own response.

    Raises:
        Exception: The module's own timeout or connection error where the answer says so.
    """
    _check_open(client)
    for hook in client.event_hooks["request"]:
        hook(request)
    response = _response(module, client, request, answer, streams_of(module).local)
    try:
        for hook in client.event_hooks["response"]:
            hook(response)
        if not streamed:
            response.read()
    except BaseException:
        response.close()
        raise
    return response


async def play_async(module: ModuleType, client: Any, request: Any, answer: LocalAnswer, *, streamed: bool) -> Any:
    """The same for an asynchronous client."""
    _check_open(client)
    for hook in client.event_hooks["request"]:
        await hook(request)
    response = _response(module, client, request, answer, streams_of(module).async_local)
    try:
        for hook in client.event_hooks["response"]:
            await hook(response)
        if not streamed:
            await response.aread()
    except BaseException:
        await response.aclose()
        raise
    return response


def _check_open(client: Any) -> None:
    if client.is_closed:
        raise RuntimeError("Cannot send a request, as the client has been closed.")


def _response(module: ModuleType, client: Any, request: Any, answer: LocalAnswer, stream: Callable[..., Any]) -> Any:
    error: Exception | None = None
    if answer.fault is not None:
        error = getattr(module, _FAULTS[answer.fault])(answer.says, request=request)
        if not answer.status:
            raise error
    response = module.Response(
        status_code=answer.status,
        headers=list(answer.plain_headers),
        stream=stream(answer, error),
        request=request,
        extensions={"http_version": b"HTTP/1.1"},
    )
    # Otherwise the client sets it when the stream is closed; the time that is projected is the recorder's business.
    response.elapsed = timedelta(0)
    # Rarely there, and looking for cookies takes longer than all the rest.
    if "set-cookie" in response.headers:
        client.cookies.extract_cookies(response)
    return response
