"""The byte streams that are put around a response's own, made for ``httpx`` and for ``httpx2`` from the same text.

A client checks that a response's stream is an instance of its own module's classes, so these are made when a module is
first watched, once a module.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.answer import LocalAnswer
from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.request_usage import UsageFilter


@dataclass(frozen=True, slots=True)
class Streams:
    """The stream classes of one module.

    Attributes:
        tee: Takes a stream and a :class:`ExchangeBuilder`, and notes each chunk that passes.
        async_tee: The same for asynchronous streams.
        hiding: Takes a stream, and hides the event that carries nothing but usage.
        async_hiding: The same for asynchronous streams.
        local: Takes a :class:`LocalAnswer` and the error that ends it (or ``None``), and plays it.
        async_local: The same for asynchronous streams.
    """

    tee: Callable[[Any, ExchangeBuilder], Any]
    async_tee: Callable[[Any, ExchangeBuilder], Any]
    hiding: Callable[[Any], Any]
    async_hiding: Callable[[Any], Any]
    local: Callable[[LocalAnswer, Exception | None], Any]
    async_local: Callable[[LocalAnswer, Exception | None], Any]


@lru_cache(maxsize=8)
def streams_of(module: ModuleType) -> Streams:
    """The stream classes for ``httpx`` or ``httpx2``."""
    tee, async_tee = _tees(module)
    hiding, async_hiding = _hidings(module)
    local, async_local = _locals(module)
    return Streams(tee, async_tee, hiding, async_hiding, local, async_local)


class _Around:
    """What stands around another stream: anything that is asked of it and that it does not know is asked of that one."""

    _stream: Any

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":
            raise AttributeError(name)
        return getattr(self._stream, name)


def _tees(module: ModuleType) -> tuple[type, type]:
    class Tee(_Around, module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, stream: Any, builder: ExchangeBuilder) -> None:
            self._stream = stream
            self._draft = builder

        def __iter__(self) -> Iterator[bytes]:
            builder = self._draft
            if builder.end is not None:
                yield from self._stream
                return
            keep, note_time, clock = builder.chunks.append, builder.chunk_times.append, builder.recorder.clock
            try:
                for chunk in self._stream:
                    note_time(clock())
                    keep(chunk)
                    yield chunk
            except GeneratorExit:
                builder.finish("closed")
                raise
            except BaseException as error:
                builder.cut(error)
                raise
            builder.finish("complete")

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._draft.finish("closed")

        def __del__(self) -> None:
            self._draft.abandon()

    class AsyncTee(_Around, module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the same
        def __init__(self, stream: Any, builder: ExchangeBuilder) -> None:
            self._stream = stream
            self._draft = builder

        async def __aiter__(self) -> AsyncIterator[bytes]:
            builder = self._draft
            chunks = self._stream.__aiter__()
            if builder.end is not None:
                async for chunk in chunks:
                    yield chunk
                return
            keep, note_time, clock = builder.chunks.append, builder.chunk_times.append, builder.recorder.clock
            try:
                async for chunk in chunks:
                    note_time(clock())
                    keep(chunk)
                    yield chunk
            except GeneratorExit:
                builder.finish("closed")
                raise
            except BaseException as error:
                builder.cut(error)
                raise
            finally:
                await _close(chunks)
            builder.finish("complete")

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            except BaseException as error:
                self._draft.cut(error)
                raise
            self._draft.finish("closed")

        def __del__(self) -> None:
            self._draft.abandon()

    return Tee, AsyncTee


async def _close(chunks: Any) -> None:
    """Close a generator that is left behind, as httpx2 does, so that it is not left to the garbage collector."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()


def _hidings(module: ModuleType) -> tuple[type, type]:
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


def _locals(module: ModuleType) -> tuple[type, type]:
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
