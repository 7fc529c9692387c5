"""Bodies of urllib3, which requests and botocore share: streams that are teed, and responses that are given locally.

Tools for tests put other file-like objects in the place of urllib3's responses.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.local_answer import Fault, LocalAnswer


def teed_body(raw: Any, builders: list[ExchangeBuilder]) -> Any:
    """Put something in front of a body that notes what is read of it, whichever of its methods is used.

    It has the attributes and methods of the body, which may be anything that can be read, and no others.
    """
    kind: Any = type(raw)
    return _class_for(kind)(raw, builders)


class _TeedBody:
    """Stands in front of a body; the special methods that read stand in subclasses, as far as the body has them."""

    __slots__ = ("__weakref__", "_builders", "_raw")

    def __init__(self, raw: Any, builders: list[ExchangeBuilder]) -> None:
        object.__setattr__(self, "_raw", raw)
        object.__setattr__(self, "_builders", builders)

    def __getattr__(self, name: str) -> Any:
        if name in ("_raw", "_builders"):  # it is being copied or unpickled, and has none yet
            raise AttributeError(name)
        if name == "data":
            return self._whole()
        found = getattr(self._raw, name)
        return partial(_NOTING[name], self, found) if name in _NOTING else found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._raw, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._raw, name)

    def __dir__(self) -> list[str]:
        return dir(self._raw)

    def __del__(self) -> None:
        for builder in self._builders:
            builder.abandon()

    def _finish(self, end: Any) -> None:
        for builder in self._builders:
            builder.finish(end)

    def _cut(self, error: BaseException) -> None:
        if isinstance(error, TypeError):
            return  # it was asked in a way that it does not know; the body is as it was
        for builder in self._builders:
            builder.cut(error)

    def _note(self, data: bytes, *, wanted: int | None) -> None:
        """Note what one reading gave; ``wanted`` is how many bytes were wanted, ``None`` for all."""
        if data:
            for builder in self._builders:
                if builder.end is None:
                    builder.chunk(bytes(data))
        if wanted is None or wanted < 0 or (wanted and not data) or self._is_exhausted():
            self._finish("complete")

    def _is_exhausted(self) -> bool:
        """Tell whether the body closed itself with its last byte."""
        is_closed = getattr(self._raw, "isclosed", None)
        return is_closed is not None and is_closed() is True

    def _decodes(self, asked: bool | None) -> None:
        """Note whether the body is decoded while it is read, as its ``decode_content`` says where the caller does not."""
        decodes = getattr(self._raw, "decode_content", False) if asked is None else asked
        if decodes:
            for builder in self._builders:
                builder.encoded = False

    def _pieces(self, pieces: Iterator[Any]) -> Iterator[Any]:
        try:
            for piece in pieces:
                for builder in self._builders:
                    if builder.end is None:
                        builder.chunk(bytes(piece))
                yield piece
        except GeneratorExit:
            self._finish("closed")
            raise
        except BaseException as error:
            self._cut(error)
            raise
        self._finish("complete")

    def _whole(self) -> Any:
        unread = not any(builder.chunks for builder in self._builders)
        try:
            data = self._raw.data
        except BaseException as error:
            self._cut(error)
            raise
        if isinstance(data, bytes):
            self._decodes(None)
            self._note(data if unread else b"", wanted=None)
        return data

    def _read(self, read: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._read_once(args[0] if args else options.get("amt", options.get("size")), read, args, options)

    def _read_some(self, read: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._read_once(1, read, args, options)

    def _read_once(
        self, wanted: int | None, read: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        self._decodes(_decoding(args, options))
        try:
            data = read(*args, **options)
        except BaseException as error:
            self._cut(error)
            raise
        self._note(data, wanted=wanted)
        return data

    def _read_into(self, read: Callable[..., Any], buffer: Any, *args: Any, **options: Any) -> Any:
        self._decodes(None)
        try:
            count = read(buffer, *args, **options)
        except BaseException as error:
            self._cut(error)
            raise
        self._note(bytes(memoryview(buffer).cast("B")[: count or 0]), wanted=len(buffer))
        return count

    def _read_lines(self, read: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return list(self._pieces(iter(read(*args, **options))))

    def _stream(self, stream: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self._decodes(_decoding(args, options))
        return self._pieces(iter(stream(*args, **options)))

    def _json(self, json: Callable[[], Any]) -> Any:
        self._whole()
        return json()

    def _end(self, end: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return end(*args, **options)
        finally:
            self._finish("closed")

    def _iterate(self) -> Any:
        self._decodes(True)
        return self._pieces(iter(self._raw))

    def _next(self) -> Any:
        try:
            data = next(self._raw)
        except StopIteration:
            self._finish("complete")
            raise
        self._note(data, wanted=1)
        return data

    def _enter(self) -> Any:
        self._raw.__enter__()
        return self

    def _leave(self, *error: Any) -> Any:
        return self._end(self._raw.__exit__, *error)


def _decoding(args: tuple[Any, ...], options: dict[str, Any]) -> bool | None:
    """What a caller says of ``decode_content``, by name or by place; ``None`` where nothing."""
    return options["decode_content"] if "decode_content" in options else args[1] if len(args) > 1 else None


_NOTING: dict[str, Callable[..., Any]] = {
    "json": _TeedBody._json,
    "read": _TeedBody._read,
    "read1": _TeedBody._read_some,
    "readline": _TeedBody._read_some,
    "readinto": _TeedBody._read_into,
    "readinto1": _TeedBody._read_into,
    "readlines": _TeedBody._read_lines,
    "stream": _TeedBody._stream,
    "read_chunked": _TeedBody._stream,
    "close": _TeedBody._end,
    "release_conn": _TeedBody._end,
}
_SPECIAL: dict[str, Any] = {
    "__iter__": _TeedBody._iterate,
    "__next__": _TeedBody._next,
    "__enter__": _TeedBody._enter,
    "__exit__": _TeedBody._leave,
    "__len__": lambda self: len(self._raw),
}


@lru_cache(maxsize=64)
def _class_for(kind: type) -> type[_TeedBody]:
    """The class that stands in front of bodies of one type: it has the special methods that they have."""
    methods = {name: method for name, method in _SPECIAL.items() if hasattr(kind, name)}
    # ``isinstance`` asks for it too.
    return type(
        "TeedBody", (_TeedBody,), {**methods, "__class__": property(lambda self: type(self._raw)), "__slots__": ()}
    )


_REQUESTS_FAULTS: dict[Fault, str] = {"connect_timeout": "ConnectTimeout", "read_timeout": "ReadTimeout"}
_BOTOCORE_FAULTS: dict[Fault, str] = {
    "connect_timeout": "ConnectTimeoutError",
    "read_timeout": "ReadTimeoutError",
    "connect_error": "EndpointConnectionError",
}


def play_requests(module: Any, request: Any, answer: LocalAnswer, options: dict[str, Any], *, streamed: bool) -> Any:
    """The response of ``requests``, its hooks run, its body read unless streamed; or its own error."""
    if not answer.status:
        name = _REQUESTS_FAULTS.get(answer.fault or "connect_error", "ConnectionError")
        raise getattr(module.exceptions, name)(answer.says, request=request)
    response = module.adapters.HTTPAdapter().build_response(request, raw_response(answer, request.url))
    response = module.hooks.dispatch_hook("response", request.hooks, response, **options)
    if not streamed:
        response.content  # noqa: B018  # reads it, as the session does
    return response


def play_botocore(request: Any, answer: LocalAnswer, *, streamed: bool) -> Any:
    """The response of botocore's HTTP session, or its own error where the answer is none."""
    from botocore import exceptions
    from botocore.awsrequest import AWSResponse

    if not answer.status:
        name = _BOTOCORE_FAULTS.get(answer.fault or "connect_error", "ConnectionClosedError")
        raise getattr(exceptions, name)(endpoint_url=request.url, request=request, error=answer.says)
    raw = raw_response(answer, request.url)
    response = AWSResponse(request.url, raw.status, raw.headers, raw)
    if not streamed:
        response.content  # noqa: B018  # the same
    return response


def raw_response(answer: LocalAnswer, url: str) -> Any:
    """A response of urllib3 whose body comes piece by piece, each when it is due."""
    return _local_class()(answer, url)


@cache
def _local_class() -> Callable[[LocalAnswer, str], Any]:
    """The class, made when it is first needed: it is one of urllib3's, which is not imported before."""
    import io

    from urllib3 import HTTPHeaderDict
    from urllib3.exceptions import ProtocolError, ReadTimeoutError
    from urllib3.response import HTTPResponse

    class Local(HTTPResponse):
        def __init__(self, answer: LocalAnswer, url: str) -> None:
            super().__init__(
                body=io.BytesIO(),
                headers=HTTPHeaderDict(answer.plain_headers),
                status=answer.status,
                reason=answer.reason,
                preload_content=False,
                request_url=url,
            )
            timeout = answer.fault is not None and answer.fault.endswith("timeout")
            pool: Any = None  # there is none
            error = ReadTimeoutError(pool, url, answer.says) if timeout else ProtocolError(answer.says)
            self._pieces = answer.pieces(error)
            self._rest = b""

        def _more(self) -> bytes:
            rest, self._rest = self._rest, b""
            return rest or next(self._pieces, b"")

        def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes, None, None]:
            while piece := self.read1(amt):
                yield piece

        read_chunked = stream

        def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
            piece = self._more()
            if amt is not None and amt >= 0:
                piece, self._rest = piece[:amt], piece[amt:]
            if not piece:
                self.close()
            return piece

        def read(
            self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False
        ) -> bytes:
            data = b""
            while amt is None or amt < 0 or len(data) < amt:
                piece = self.read1(None if amt is None or amt < 0 else amt - len(data))
                if not piece:
                    break
                data += piece
            if cache_content:
                self._body = data
            return data

    return Local
