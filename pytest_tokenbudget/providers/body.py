"""Bodies as they were before ``content-encoding``: whole, and piece by piece so that arrival can be told.

``brotli`` and ``zstandard`` (or Python's own) are used where they are installed, and are imported when a body asks for
them. Clients do the same: a body in an encoding that no library here knows could not be read by the code under test either.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_tokenbudget.records.exchange import Exchange, Headers

MAX_BYTES = 256 * 1024 * 1024
"""Decoded bytes that are kept of a body: what a hostile server may make us hold."""

_PLAIN = (b"{", b"[", b"d", b"e", b":", b"<")
"""The first bytes of JSON, event streams and HTML; no compressed body begins so."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> bytes:
        """Decode a piece; raises ``ValueError`` on damage."""


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded body.

    Attributes:
        data: Its bytes, as far as they could be decoded.
        problems: What could not be decoded, in words.
    """

    data: bytes
    problems: tuple[str, ...] = ()


def header(headers: Headers, name: str) -> str:
    """The value of a header, ``""`` where it is missing; several are joined with commas."""
    return ", ".join([value for key, value in headers if key.lower() == name])


def response_body(exchange: Exchange) -> Body:
    """The response's body."""
    if not exchange.encoded:
        chunks = exchange.chunks
        return Body(chunks[0] if len(chunks) == 1 else b"".join(chunks))
    return _whole(exchange.chunks, header(exchange.response_headers, "content-encoding"))


def response_pieces(exchange: Exchange, *, most: int = MAX_BYTES) -> tuple[bytes, ...]:
    """The response's body, decoded, in the pieces in which it arrived.

    Args:
        exchange: The exchange.
        most: Bytes after which no more is decoded; who passes a limit of its own sees that it was passed.
    """
    if not exchange.encoded:
        return exchange.chunks
    encoding = header(exchange.response_headers, "content-encoding")
    return tuple(_pieces(exchange.chunks, encoding, [], most))


def decoded(data: bytes, headers: Headers) -> bytes:
    """A body that is there as a whole, decoded as its headers say."""
    encoding = header(headers, "content-encoding")
    return _whole((data,), encoding).data if encoding else data


def arrival(exchange: Exchange, offset: int) -> float | None:
    """Tell when the decoded body had reached an offset.

    Args:
        exchange: The exchange.
        offset: Offset in the decoded body.

    Returns:
        s on the sample's clock, ``None`` where the body never got that far.
    """
    encoding = header(exchange.response_headers, "content-encoding") if exchange.encoded else ""
    length = 0
    for time, piece in zip(exchange.chunk_times, _pieces(exchange.chunks, encoding, []), strict=False):
        length += len(piece)
        if length >= offset:
            return time
    return None


def _whole(chunks: Iterable[bytes], encoding: str) -> Body:
    problems: list[str] = []
    data = b"".join(_pieces(chunks, encoding, problems))
    return Body(data, tuple(problems))


def _pieces(chunks: Iterable[bytes], encoding: str, problems: list[str], most: int = MAX_BYTES) -> Iterator[bytes]:
    """Each chunk, decoded. From damage on, pieces are empty; a body that was never encoded passes as it is."""
    names = [name for name in (part.strip().lower() for part in encoding.split(",")) if name not in ("", "identity")]
    decoders = [_decoder(name, most) for name in reversed(names)]
    if None in decoders:
        problems.append(f"no library decodes content-encoding {encoding!r}")
        yield from (b"" for _ in chunks)
        return
    chain = [decoder for decoder in decoders if decoder is not None]
    length, damaged = 0, False
    undecoded = b""
    for chunk in chunks:
        if damaged or length > most:
            yield b""
            continue
        piece = chunk
        undecoded = b"" if length else undecoded + chunk
        try:
            for decoder in chain:
                piece = decoder.feed(piece)
        except ValueError:
            problems.append(f"the body is not valid {encoding}")
            plain = undecoded.lstrip()[:1] in _PLAIN
            piece, chain, damaged = (undecoded, [], False) if plain else (b"", chain, True)
        length += len(piece)
        yield piece


def _decoder(name: str, most: int) -> _Decoder | None:
    if name in ("gzip", "x-gzip"):
        return _Zlib(zlib.MAX_WBITS | 16, most)
    if name == "deflate":
        return _Zlib(zlib.MAX_WBITS, most)
    if name == "br":
        return _brotli()
    if name == "zstd":
        return _zstd()
    return None


class _Zlib:
    """gzip (of several members) and deflate (with or without zlib's frame)."""

    def __init__(self, window: int, most: int) -> None:
        self._window = window
        self._most = most + 1
        self._inner = zlib.decompressobj(window)
        self._head: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        if self._head is not None:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return b""
            self._head = None
            if self._window == zlib.MAX_WBITS and (data[0] & 0x0F != 8 or int.from_bytes(data[:2], "big") % 31):
                # servers that say deflate and leave out zlib's frame (RFC 1950: method 8, check of 31)
                self._window = -zlib.MAX_WBITS
                self._inner = zlib.decompressobj(self._window)
        done = bytearray()
        while data:
            if self._inner.eof:
                self._inner = zlib.decompressobj(self._window)
            try:
                done += self._inner.decompress(data, self._most - len(done))
            except zlib.error as error:
                if done:
                    break  # bytes behind the last member
                raise ValueError(str(error)) from error
            if len(done) >= self._most:
                break
            data = self._inner.unused_data.lstrip(b"\x00")
        return bytes(done)


class _Foreign:
    """A decoder of an optional library behind one method."""

    def __init__(self, decode: Any, failure: type[Exception] | tuple[type[Exception], ...]) -> None:
        self._decode = decode
        self._failure = failure

    def feed(self, data: bytes) -> bytes:
        try:
            return bytes(self._decode(data))
        except self._failure as error:
            raise ValueError(str(error)) from error


def _brotli() -> _Decoder | None:
    try:
        import brotli
    except ImportError:
        try:
            import brotlicffi as brotli  # type: ignore[import-not-found]  # has no types
        except ImportError:
            return None
    inner = brotli.Decompressor()
    return _Foreign(getattr(inner, "process", None) or inner.decompress, brotli.error)


def _zstd() -> _Decoder | None:
    try:
        import zstandard
    except ImportError:
        return _stdlib_zstd()
    return _Foreign(zstandard.ZstdDecompressor().decompressobj().decompress, zstandard.ZstdError)


def _stdlib_zstd() -> _Decoder | None:
    """Python 3.14's own, or its backport, which httpx2 uses."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return _Foreign(module.ZstdDecompressor().decompress, (module.ZstdError, EOFError))
    return None
