"""A response that is given locally: a real response object of the client's own module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer

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
    response = _response(module, client, request, answer, _streams_of(module)[0])
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
    """Answer an asynchronous client, and run its event hooks; see :func:`play`."""
    _check_open(client)
    for hook in client.event_hooks["request"]:
        await hook(request)
    response = _response(module, client, request, answer, _streams_of(module)[1])
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


@lru_cache(maxsize=8)
def _streams_of(module: ModuleType) -> tuple[type, type]:
    """The streams that play an answer, synchronous and asynchronous: a client wants instances of its own module's."""

    class Local(module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, answer: LocalAnswer, error: Exception | None) -> None:
            self._answer = answer
            self._error = error

        def __iter__(self) -> Iterator[bytes]:
            wait = self._answer.before_chunk
            for number, chunk in enumerate(self._answer.chunks):
                if wait is not None:
                    wait(number)
                yield chunk
            if self._error is not None:
                raise self._error

    class AsyncLocal(module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the same
        def __init__(self, answer: LocalAnswer, error: Exception | None) -> None:
            self._answer = answer
            self._error = error

        async def __aiter__(self) -> AsyncIterator[bytes]:
            wait = self._answer.before_chunk_async
            for number, chunk in enumerate(self._answer.chunks):
                if wait is not None:
                    await wait(number)
                yield chunk
            if self._error is not None:
                raise self._error

    return Local, AsyncLocal
