"""Responses of ``httpx`` and ``httpx2`` that are given locally, and streams that hide what the caller did not ask for.

A client checks that a response's stream is an instance of its own module's classes, so these are made once a module,
when they are first needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.exchange_builder import close_generator
from pytest_tokenbudget.capture.httpx_client import Around

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer


@lru_cache(maxsize=8)
def hidings_of(module: ModuleType) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The classes that hide the event that carries nothing but usage, for sync and async streams."""
    from pytest_tokenbudget.capture.request_usage import UsageFilter

    class Hiding(Around, module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            usage = UsageFilter()
            for chunk in self._stream:
                if shown := usage.pass_on(chunk):
                    yield shown
            if rest := usage.rest():
                yield rest

        def close(self) -> None:
            self._stream.close()

    class AsyncHiding(Around, module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the same
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            usage = UsageFilter()
            chunks = self._stream.__aiter__()
            try:
                async for chunk in chunks:
                    if shown := usage.pass_on(chunk):
                        yield shown
                if rest := usage.rest():
                    yield rest
            finally:
                await close_generator(chunks)

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Hiding, AsyncHiding


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
    """Answer a synchronous client, and run its event hooks; the body is read at once unless it is streamed.

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
            return self._answer.pieces(self._error)

    class AsyncLocal(module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the same
        def __init__(self, answer: LocalAnswer, error: Exception | None) -> None:
            self._answer = answer
            self._error = error

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._answer.pieces_async(self._error)

    return Local, AsyncLocal
