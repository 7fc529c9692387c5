"""The byte streams of ``httpx`` and ``httpx2``, made from the same text, and responses that are given locally with them.

A client checks that a response's stream is an instance of its own module's classes, so these are made once a module,
when they are first needed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer


class _Around:
    """Stands around another stream, and hands on to it whatever it does not know itself."""

    _stream: Any

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":
            raise AttributeError(name)
        return getattr(self._stream, name)


@lru_cache(maxsize=8)
def tees_of(module: ModuleType) -> tuple[Callable[[Any, ExchangeBuilder], Any], Callable[[Any, ExchangeBuilder], Any]]:
    """Make the classes that note each chunk that passes.

    Args:
        module: ``httpx`` or ``httpx2``.

    Returns:
        One for synchronous and one for asynchronous streams; each takes a stream and a builder.
    """

    class Tee(_Around, module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, stream: Any, builder: ExchangeBuilder) -> None:
            self._stream = stream
            self._builder = builder

        def __iter__(self) -> Iterator[bytes]:
            builder = self._builder
            if builder.end is not None:
                yield from self._stream
                return
            with builder as keep:
                for chunk in self._stream:
                    keep(chunk)
                    yield chunk

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._builder.finish("closed")

        def __del__(self) -> None:
            self._builder.abandon()

    class AsyncTee(_Around, module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the same
        def __init__(self, stream: Any, builder: ExchangeBuilder) -> None:
            self._stream = stream
            self._builder = builder

        async def __aiter__(self) -> AsyncIterator[bytes]:
            builder = self._builder
            chunks = self._stream.__aiter__()
            if builder.end is not None:
                async for chunk in chunks:
                    yield chunk
                return
            try:
                with builder as keep:
                    async for chunk in chunks:
                        keep(chunk)
                        yield chunk
            finally:
                await _close(chunks)

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


async def _close(chunks: Any) -> None:
    """Close a generator that is left behind, as httpx2 does, so that it is not left to the garbage collector."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()


@lru_cache(maxsize=8)
def hidings_of(module: ModuleType) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Make the classes that hide the event that carries nothing but usage.

    Args:
        module: ``httpx`` or ``httpx2``.

    Returns:
        One for synchronous and one for asynchronous streams; each takes a stream.
    """
    from pytest_tokenbudget.capture.request_usage import UsageFilter

    class Hiding(_Around, module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
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

    class AsyncHiding(_Around, module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the same
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
                await _close(chunks)

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
