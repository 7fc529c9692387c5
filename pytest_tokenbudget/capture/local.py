"""A response that was given locally, as a real response object of the client's own module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.answer import LocalAnswer

_EXCEPTIONS = {
    "connect_timeout": ("ConnectTimeout", "the scripted connection timed out"),
    "read_timeout": ("ReadTimeout", "the scripted answer timed out"),
    "connect_error": ("ConnectError", "the scripted connection failed"),
    "cut": ("RemoteProtocolError", "peer closed connection without sending complete message body"),
}


def local_response(module: ModuleType, request: Any, answer: LocalAnswer, *, asynchronous: bool = False) -> Any:
    """Make a response of ``httpx`` or ``httpx2``.

    Args:
        module: The client's module.
        request: The request that is answered.
        answer: The answer.
        asynchronous: Whether an asynchronous client reads it.

    Returns:
        The response; its body is not read yet.

    Raises:
        Exception: The module's own timeout or connection error where the answer says so.
    """
    if answer.fault is not None and answer.fault != "cut":
        raise _error(module, request, answer.fault)
    stream = _async_stream(module, request, answer) if asynchronous else _sync_stream(module, request, answer)
    response = module.Response(
        status_code=answer.status,
        headers=[(name, value) for name, value in answer.headers if name.lower() != "content-encoding"],
        stream=stream,
        request=request,
        extensions={"http_version": b"HTTP/1.1"},
    )
    response.elapsed = timedelta(0)
    return response


def _error(module: ModuleType, request: Any, fault: str) -> Exception:
    name, text = _EXCEPTIONS[fault]
    error: Exception = getattr(module, name)(text, request=request)
    return error


def _sync_stream(module: ModuleType, request: Any, answer: LocalAnswer) -> Any:
    class LocalStream(module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __iter__(self) -> Iterator[bytes]:
            for number, chunk in enumerate(answer.chunks):
                if answer.before_chunk is not None:
                    answer.before_chunk(number)
                yield chunk
            if answer.fault == "cut":
                raise _error(module, request, "cut")

    return LocalStream()


def _async_stream(module: ModuleType, request: Any, answer: LocalAnswer) -> Any:
    class LocalStream(module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for number, chunk in enumerate(answer.chunks):
                if answer.before_chunk_async is not None:
                    await answer.before_chunk_async(number)
                yield chunk
            if answer.fault == "cut":
                raise _error(module, request, "cut")

    return LocalStream()
