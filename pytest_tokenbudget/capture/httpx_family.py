"""httpx and httpx2: the public ``send`` of their clients. The module is a parameter, so that one file serves both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.answer import Outgoing
from pytest_tokenbudget.capture.local import local_response
from pytest_tokenbudget.capture.recorder import Pending, Recorder
from pytest_tokenbudget.capture.request_usage import UsageFilter, asking_for_usage
from pytest_tokenbudget.capture.stages import current_path
from pytest_tokenbudget.records.exchange import End, Headers

inside: ContextVar[tuple[Recorder, ...]] = ContextVar("tokenbudget_inside", default=())
"""The recorders whose outermost ``send`` is running in this context: what is sent underneath is the same exchange."""


class HttpxSource:
    """The parts of an exchange, read from httpx's own objects afterwards."""

    __slots__ = ("_request", "answered")

    def __init__(self, request: Any) -> None:
        self._request = request
        self.answered: Any = None

    def request(self) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body; the body is ``None`` where it was a stream that is gone."""
        request = self._request
        body = getattr(request, "_content", None)
        return request.method, str(request.url), tuple(request.headers.multi_items()), body

    def response(self) -> tuple[int | None, Headers, bytes | None]:
        """Status, headers and, where it was read, the decoded body."""
        if self.answered is None:
            return None, (), None
        body = getattr(self.answered, "_content", None)
        return self.answered.status_code, tuple(self.answered.headers.multi_items()), body


def ended_by(error: BaseException, otherwise: End) -> End:
    """How an exception ends an exchange."""
    return "cancelled" if type(error).__name__ in ("CancelledError", "Cancelled") else otherwise


def patch(module: ModuleType, label: str, recorder: Recorder) -> Callable[[], None]:
    """Watch a module's clients.

    Args:
        module: ``httpx`` or ``httpx2``.
        label: Its name and version.
        recorder: Who records.

    Returns:
        A function that takes the watch away.
    """
    tee, async_tee = tees(module)
    send, async_send = module.Client.send, module.AsyncClient.send

    def watched(self: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        around = inside.get()
        if recorder in around or not recorder.recording:
            return send(self, request, stream=stream, **options)
        request, usage_filter = _prepared(module, recorder, request, stream)
        outgoing = _outgoing(label, request, stream, recorder)
        source = HttpxSource(request)
        pending = recorder.begin(label, source, streamed=stream)
        token = inside.set((*around, recorder))
        try:
            answer = recorder.answerer.answer(outgoing) if recorder.answerer and outgoing else None
            if answer is None:
                response = send(self, request, stream=stream, **options)
            else:
                pending.answer = answer
                response = local_response(module, request, answer)
                if not stream:
                    response.read()
        except BaseException as error:
            pending.finish(ended_by(error, "failed"), error)
            raise
        finally:
            inside.reset(token)
        source.answered = response
        if stream and not response.is_closed:
            response.stream = tee(response.stream, pending, usage_filter)
        else:
            pending.finish("complete")
        return response

    async def watched_async(self: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        around = inside.get()
        if recorder in around or not recorder.recording:
            return await async_send(self, request, stream=stream, **options)
        request, usage_filter = _prepared(module, recorder, request, stream)
        outgoing = _outgoing(label, request, stream, recorder)
        source = HttpxSource(request)
        pending = recorder.begin(label, source, streamed=stream)
        token = inside.set((*around, recorder))
        try:
            answer = await recorder.answerer.answer_async(outgoing) if recorder.answerer and outgoing else None
            if answer is None:
                response = await async_send(self, request, stream=stream, **options)
            else:
                pending.answer = answer
                response = local_response(module, request, answer, asynchronous=True)
                if not stream:
                    await response.aread()
        except BaseException as error:
            pending.finish(ended_by(error, "failed"), error)
            raise
        finally:
            inside.reset(token)
        source.answered = response
        if stream and not response.is_closed:
            response.stream = async_tee(response.stream, pending, usage_filter)
        else:
            pending.finish("complete")
        return response

    module.Client.send, module.AsyncClient.send = watched, watched_async

    def undo() -> None:
        module.Client.send, module.AsyncClient.send = send, async_send

    return undo


def _prepared(module: ModuleType, recorder: Recorder, request: Any, stream: bool) -> tuple[Any, UsageFilter | None]:
    if not (recorder.request_usage and stream):
        return request, None
    return asking_for_usage(module, request)


def _outgoing(label: str, request: Any, stream: bool, recorder: Recorder) -> Outgoing | None:
    """What is about to leave, where anybody wants to know; whoever refuses it raises."""
    if recorder.before_send is None and recorder.answerer is None:
        return None
    method, url, headers, body = HttpxSource(request).request()
    outgoing = Outgoing(label, method.upper(), url, headers, body, current_path(), stream)
    if recorder.before_send is not None:
        recorder.before_send(outgoing)
    return outgoing


@cache
def tees(module: ModuleType) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two stream classes of a module that pass a body on, chunk by chunk."""

    class Tee(module.SyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, stream: Any, pending: Pending, usage_filter: UsageFilter | None) -> None:
            self._stream = stream
            self._pending = pending
            self._filter = usage_filter

        def __iter__(self) -> Iterator[bytes]:
            pending, usage_filter = self._pending, self._filter
            try:
                for chunk in self._stream:
                    pending.chunk(chunk)
                    if usage_filter is None:
                        yield chunk
                    elif shown := usage_filter.pass_on(chunk):
                        yield shown
                if usage_filter is not None and (rest := usage_filter.rest()):
                    yield rest
            except GeneratorExit:
                raise
            except BaseException as error:
                pending.finish(ended_by(error, "cut"), error)
                raise
            pending.finish("complete")

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._pending.finish("closed")

        def __del__(self) -> None:
            self._pending.finish("closed")

    class AsyncTee(module.AsyncByteStream):  # type: ignore[name-defined, misc]  # the base class is a parameter
        def __init__(self, stream: Any, pending: Pending, usage_filter: UsageFilter | None) -> None:
            self._stream = stream
            self._pending = pending
            self._filter = usage_filter

        async def __aiter__(self) -> AsyncIterator[bytes]:
            pending, usage_filter = self._pending, self._filter
            try:
                async for chunk in self._stream:
                    pending.chunk(chunk)
                    if usage_filter is None:
                        yield chunk
                    elif shown := usage_filter.pass_on(chunk):
                        yield shown
                if usage_filter is not None and (rest := usage_filter.rest()):
                    yield rest
            except GeneratorExit:
                raise
            except BaseException as error:
                pending.finish(ended_by(error, "cut"), error)
                raise
            pending.finish("complete")

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._pending.finish("closed")

        def __del__(self) -> None:
            self._pending.finish("closed")

    return Tee, AsyncTee
