"""aiohttp: every request of ``ClientSession`` passes through its ``_request``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from pytest_tokenbudget.capture.answer import Outgoing
from pytest_tokenbudget.capture.httpx_family import ended_by, inside
from pytest_tokenbudget.capture.recorder import Pending, Recorder
from pytest_tokenbudget.capture.stages import current_path
from pytest_tokenbudget.records.exchange import Headers


class AiohttpSource:
    """The parts of an exchange, read from aiohttp's objects afterwards."""

    __slots__ = ("_body", "_method", "_url", "answered")

    def __init__(self, method: str, url: Any, body: bytes | None) -> None:
        self._method = method
        self._url = url
        self._body = body
        self.answered: Any = None

    def request(self) -> tuple[str, str, Headers, bytes | None]:
        """Method, URL, headers and body."""
        info = getattr(self.answered, "request_info", None)
        headers = _headers(info.headers) if info is not None else ()
        url = str(info.url) if info is not None else str(self._url)
        return self._method, url, headers, self._body

    def response(self) -> tuple[int | None, Headers, bytes | None]:
        """Status and headers; the body was noted piece by piece."""
        if self.answered is None:
            return None, (), None
        return self.answered.status, _headers(self.answered.headers), None


def _headers(headers: Any) -> Headers:
    return tuple((str(name).lower(), str(value)) for name, value in headers.items())


class _Content:
    """A response's content; whatever is read of it is noted. aiohttp has decoded it already."""

    def __init__(self, content: Any, pending: Pending) -> None:
        self._content = content
        self._pending = pending

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def _noted(self, reading: Awaitable[bytes]) -> bytes:
        try:
            data = await reading
        except BaseException as error:
            self._pending.finish(ended_by(error, "cut"), error)
            raise
        if data:
            self._pending.chunk(data)
        if self._content.at_eof():
            self._pending.finish("complete")
        return data

    async def read(self, n: int = -1) -> bytes:
        return await self._noted(self._content.read(n))

    async def readany(self) -> bytes:
        return await self._noted(self._content.readany())

    async def readline(self, *args: Any, **options: Any) -> bytes:
        return await self._noted(self._content.readline(*args, **options))

    async def readuntil(self, *args: Any, **options: Any) -> bytes:
        return await self._noted(self._content.readuntil(*args, **options))

    async def readexactly(self, n: int) -> bytes:
        return await self._noted(self._content.readexactly(n))

    async def readchunk(self) -> tuple[bytes, bool]:
        ends: list[bool] = []

        async def chunk() -> bytes:
            data, end = await self._content.readchunk()
            ends.append(end)
            return bytes(data)

        return await self._noted(chunk()), ends[0]

    def iter_any(self) -> _Pieces:
        return _Pieces(self.readany)

    def iter_chunked(self, n: int) -> _Pieces:
        return _Pieces(lambda: self.read(n))

    def iter_chunks(self) -> _Pieces:
        return _Pieces(self.readchunk, end=(b"", False))

    def __aiter__(self) -> _Pieces:
        return _Pieces(self.readline)


class _Pieces:
    """Reads until nothing comes."""

    def __init__(self, read: Callable[[], Awaitable[Any]], *, end: Any = b"") -> None:
        self._read = read
        self._end = end

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> Any:
        data = await self._read()
        if data == self._end:
            raise StopAsyncIteration
        return data


def _sent_body(session: Any, options: dict[str, Any]) -> bytes | None:
    """The body that will be sent. It is made now: the caller may change its own objects before the sample ends."""
    data, asked = options.get("data"), options.get("json")
    if asked is not None:
        try:
            dumped = getattr(session, "json_serialize", json.dumps)(asked)
        except (TypeError, ValueError, RecursionError):
            return None
        return dumped if isinstance(dumped, bytes) else str(dumped).encode("utf-8", "surrogatepass")
    if isinstance(data, str):
        return data.encode("utf-8", "surrogatepass")
    return data if isinstance(data, bytes) else bytes(data) if isinstance(data, bytearray) else None


def patch(module: ModuleType, label: str, recorder: Recorder) -> Callable[[], None]:
    """Watch ``aiohttp``; gives back a function that takes the watch away."""
    request = module.ClientSession._request

    async def watched(self: Any, method: str, str_or_url: Any, **options: Any) -> Any:
        around = inside.get()
        if recorder in around or not recorder.recording:
            return await request(self, method, str_or_url, **options)
        body = _sent_body(self, options)
        if recorder.before_send is not None:
            recorder.before_send(Outgoing(label, method.upper(), str(str_or_url), (), body, current_path(), True))
        source = AiohttpSource(method, str_or_url, body)
        pending = recorder.begin(label, source, streamed=True)
        pending.encoded = not getattr(self, "auto_decompress", True)
        token = inside.set((*around, recorder))
        try:
            response = await request(self, method, str_or_url, **options)
        except BaseException as error:
            pending.finish(ended_by(error, "failed"), error)
            raise
        finally:
            inside.reset(token)
        source.answered = response
        _tee(response, pending)
        return response

    module.ClientSession._request = watched

    def undo() -> None:
        module.ClientSession._request = request

    return undo


def _tee(response: Any, pending: Pending) -> None:
    response.content = _Content(response.content, pending)
    for name in ("close", "release"):
        ending = getattr(response, name)

        def ended(ending: Callable[[], Any] = ending) -> Any:
            try:
                return ending()
            finally:
                pending.finish("closed")

        setattr(response, name, ended)
