"""Streamed bodies of urllib3, which requests and botocore share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder


class RawBody:
    """Stands in front of a urllib3 response and notes what is read of it, whichever of its methods is used."""

    def __init__(self, raw: Any, builders: list[ExchangeBuilder]) -> None:
        self._raw = raw
        self._builders = builders

    def __getattr__(self, name: str) -> Any:
        if name in ("_raw", "_builders"):
            raise AttributeError(name)
        return getattr(self._raw, name)

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """Read the body piece by piece."""
        self._decoding(decode_content)
        return self._pieces(self._raw.stream(amt, decode_content))

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """Read a body with chunked transfer encoding, chunk by chunk."""
        self._decoding(decode_content)
        return self._pieces(self._raw.read_chunked(amt, decode_content))

    def __iter__(self) -> Iterator[bytes]:
        self._decoding(True)
        return self._pieces(iter(self._raw))

    def _pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        builders = self._builders
        try:
            for piece in pieces:
                for builder in builders:
                    builder.chunk(piece)
                yield piece
        except GeneratorExit:
            self._finish("closed")
            raise
        except BaseException as error:
            self._cut(error)
            raise
        self._finish("complete")

    def read(self, amt: int | None = None, decode_content: bool | None = None, **options: Any) -> bytes:
        """Read at most ``amt`` bytes, or all."""
        self._decoding(decode_content)
        return self._noted(lambda: self._raw.read(amt, decode_content, **options), amt)

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read what one call of the system brings."""
        self._decoding(decode_content)
        return self._noted(lambda: self._raw.read1(amt, decode_content), 1)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _noted(self, read: Callable[[], bytes], amt: int | None) -> bytes:
        try:
            data = read()
        except BaseException as error:
            self._cut(error)
            raise
        if data:
            for builder in self._builders:
                builder.chunk(data)
        if amt is None or amt < 0 or (amt and not data):
            self._finish("complete")
        return data

    def _decoding(self, asked: bool | None) -> None:
        decoded = getattr(self._raw, "decode_content", True) if asked is None else asked
        if decoded:
            for builder in self._builders:
                builder.encoded = False

    def _finish(self, end: Any) -> None:
        for builder in self._builders:
            builder.finish(end)

    def _cut(self, error: BaseException) -> None:
        for builder in self._builders:
            builder.cut(error)

    def close(self) -> None:
        """Close the connection."""
        try:
            self._raw.close()
        finally:
            self._finish("closed")

    def release_conn(self) -> None:
        """Give the connection back."""
        try:
            self._raw.release_conn()
        finally:
            self._finish("closed")

    def __enter__(self) -> RawBody:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        for builder in self._builders:
            builder.abandon()
