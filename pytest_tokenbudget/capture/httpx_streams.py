"""The byte streams that are put around a response's own, made for ``httpx`` and for ``httpx2`` from the same text.

A client checks that a response's stream is an instance of its own module's classes, so these are made once a module,
when they are first needed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.request_usage import UsageFilter


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
            keep = builder.chunk
            try:
                for chunk in self._stream:
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
            keep = builder.chunk
            try:
                async for chunk in chunks:
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
