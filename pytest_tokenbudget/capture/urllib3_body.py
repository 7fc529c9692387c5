"""Streamed bodies of urllib3, which requests and botocore share; tools for tests put other file-like objects in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder


def teed_body(raw: Any, builders: list[ExchangeBuilder]) -> Any:
    """Put something in front of a body that notes what is read of it, whichever of its methods is used.

    Args:
        raw: The body; mostly a ``urllib3.HTTPResponse``, but anything that can be read.
        builders: Take note.

    Returns:
        An object that has the attributes and methods of ``raw`` and no others, and takes the arguments that it takes.
    """
    kind: Any = type(raw)
    return _class_for(kind)(raw, builders)


class _TeedBody:
    """Stands in front of a body. Methods that read stand in subclasses, as far as the body has them."""

    __slots__ = ("__weakref__", "_builders", "_raw")

    def __init__(self, raw: Any, builders: list[ExchangeBuilder]) -> None:
        object.__setattr__(self, "_raw", raw)
        object.__setattr__(self, "_builders", builders)

    def __getattr__(self, name: str) -> Any:
        if name in ("_raw", "_builders"):  # it is being copied or unpickled, and has none yet
            raise AttributeError(name)
        return getattr(self._raw, name)

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
        if wanted is None or wanted < 0 or (wanted and not data):
            self._finish("complete")

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


def _read(name: str, *, at_most: bool) -> Callable[..., Any]:
    """Make a method that reads once; ``at_most`` says that its first argument is the number of bytes."""

    def read(self: Any, *args: Any, **options: Any) -> Any:
        wanted = (args[0] if args else options.get("amt", options.get("size"))) if at_most else 1
        self._decodes(options["decode_content"] if "decode_content" in options else args[1] if len(args) > 1 else None)
        try:
            data = getattr(self._raw, name)(*args, **options)
        except BaseException as error:
            self._cut(error)
            raise
        self._note(data, wanted=wanted)
        return data

    return read


def _read_into(name: str) -> Callable[..., Any]:
    def read(self: Any, buffer: Any, *args: Any, **options: Any) -> Any:
        self._decodes(None)
        try:
            count = getattr(self._raw, name)(buffer, *args, **options)
        except BaseException as error:
            self._cut(error)
            raise
        self._note(bytes(memoryview(buffer).cast("B")[: count or 0]), wanted=len(buffer))
        return count

    return read


def _read_lines(self: Any, *args: Any, **options: Any) -> Any:
    return list(self._pieces(iter(self._raw.readlines(*args, **options))))


def _stream(name: str) -> Callable[..., Any]:
    """Make a method that gives an iterator of pieces; both its arguments may be given by name or by place."""

    def stream(self: Any, *args: Any, **options: Any) -> Any:
        self._decodes(options["decode_content"] if "decode_content" in options else args[1] if len(args) > 1 else None)
        return self._pieces(iter(getattr(self._raw, name)(*args, **options)))

    return stream


def _iterate(self: Any) -> Any:
    self._decodes(True)
    return self._pieces(iter(self._raw))


def _whole(self: Any) -> Any:
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


def _json(self: Any) -> Any:
    _whole(self)
    return self._raw.json()


def _next(self: Any) -> Any:
    try:
        data = next(self._raw)
    except StopIteration:
        self._finish("complete")
        raise
    self._note(data, wanted=1)
    return data


def _end(name: str) -> Callable[..., Any]:
    def end(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return getattr(self._raw, name)(*args, **options)
        finally:
            self._finish("closed")

    return end


def _enter(self: Any) -> Any:
    self._raw.__enter__()
    return self


def _leave(self: Any, *error: Any) -> Any:
    try:
        return self._raw.__exit__(*error)
    finally:
        self._finish("closed")


_METHODS: dict[str, Any] = {
    "data": property(_whole),
    "json": _json,
    "read": _read("read", at_most=True),
    "read1": _read("read1", at_most=False),
    "readline": _read("readline", at_most=False),
    "readinto": _read_into("readinto"),
    "readinto1": _read_into("readinto1"),
    "readlines": _read_lines,
    "stream": _stream("stream"),
    "read_chunked": _stream("read_chunked"),
    "close": _end("close"),
    "release_conn": _end("release_conn"),
    "__iter__": _iterate,
    "__next__": _next,
    "__enter__": _enter,
    "__exit__": _leave,
}


@lru_cache(maxsize=64)
def _class_for(kind: type) -> type[_TeedBody]:
    """The class that stands in front of bodies of one type: it has the methods that they have."""
    methods: dict[str, Any] = {name: method for name, method in _METHODS.items() if hasattr(kind, name)}
    # ``isinstance`` asks for it too.
    methods["__class__"] = property(lambda self: type(self._raw))
    methods["__slots__"] = ()
    if hasattr(kind, "__len__"):
        methods["__len__"] = lambda self: len(self._raw)
    return type("TeedBody", (_TeedBody,), methods)
