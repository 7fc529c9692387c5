"""What somebody else wrote: bodies decoded, JSON parsed, and values taken as the type that is asked for. Nothing raises."""

from __future__ import annotations

import importlib
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_tokenbudget.records.exchange import Exchange, Headers

BROKEN: Any = object()
"""Stands for a text that is no JSON; ``None`` is JSON's own null."""

_BOM = "\ufeff"

MAX_COUNT = 10**12
"""The largest number of tokens that is believed; a larger one is damage, and is read as unknown."""


def as_dict(value: object) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value where it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_str(value: object) -> str:
    """The value where it is a string, else ``""``."""
    return value if isinstance(value, str) else ""


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array; what is no object is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def count(value: object) -> int | None:
    """A number of tokens: a whole number from 0 on, else ``None``.

    A provider's ``12.0`` is 12; ``true``, ``NaN``, negative and absurdly large numbers are unknown.
    """
    if value.__class__ is int:  # nearly always; no bool, whose class is another
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not value.is_integer():  # NaN and the infinities are not integers either
            return None
        value = int(value)
    if isinstance(value, int) and 0 <= value <= MAX_COUNT:
        return value
    return None


def first_count(*values: object) -> int | None:
    """The first of the values that is a number of tokens."""
    for value in values:
        found = count(value)
        if found is not None:
            return found
    return None


def added(*values: int | None) -> int | None:
    """The sum of what is known, ``None`` where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def compact(value: object) -> str:
    """The value as compact JSON, key order kept; strings stay what they are."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError, TypeError):
        return ""


def parse(data: bytes | str) -> Any:
    """Parse one JSON text.

    Args:
        data: The text. Bytes are UTF-8, or UTF-16 or UTF-32 where they look so, as clients take them; what does not fit
            becomes U+FFFD.

    Returns:
        The value, or :data:`BROKEN` where it is no JSON or is nested too deeply. Integers beyond Python's limit of
        digits become infinity, duplicated keys keep their last value.
    """
    text = data if isinstance(data, str) else data.decode(_encoding(data), "replace")
    if text[:1] == _BOM:
        text = text[1:]
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return BROKEN
    except ValueError:
        return _with_huge_integers(text)


def _encoding(data: bytes) -> str:
    """The encoding of a JSON text, without asking where its first two characters are ASCII: then it is UTF-8."""
    return "utf-8" if len(data) > 1 and 0 < data[0] < 128 and data[1] else json.detect_encoding(data)


def _with_huge_integers(text: str) -> Any:
    """Integers of thousands of digits are no damage to JSON's decoder, but Python refuses them."""
    try:
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        return BROKEN


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 100 else math.inf


def parse_many(texts: Sequence[bytes]) -> list[Any]:
    """Parse many JSON texts, :data:`BROKEN` for each that is none.

    They are parsed as one array, several times faster than one by one; where that fails or gives another number of
    values, each is parsed for itself.
    """
    if len(texts) > 1:
        try:
            values = json.loads(b"[" + b",".join(texts) + b"]")
        except (ValueError, RecursionError):
            values = None
        if values is not None and len(values) == len(texts):
            return list(values)
    return [parse(text) for text in texts]


def array_items(text: str) -> Iterator[tuple[Any, int]]:
    """The items of a JSON array with the offset after each, as far as the text goes.

    Args:
        text: An array, perhaps cut off.

    Yields:
        Value and offset in characters just behind it.
    """
    decoder = json.JSONDecoder()
    position = text.find("[") + 1
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return
        yield value, position


MAX_BYTES = 256 * 1024 * 1024
"""Decoded bytes that are kept of a body: what a hostile server may make us hold."""

_PLAIN = (b"{", b"[", b"d", b"e", b":", b"<")
"""The first bytes of JSON, event streams and HTML; no compressed body begins so."""


Decode = Callable[[bytes], bytes]
"""Decodes a piece of a body; raises ``ValueError`` on damage."""


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
    length = 0
    for time, piece in zip(exchange.chunk_times, response_pieces(exchange), strict=False):
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
            for decode in chain:
                piece = decode(piece)
        except ValueError:
            problems.append(f"the body is not valid {encoding}")
            plain = undecoded.lstrip()[:1] in _PLAIN
            piece, chain, damaged = (undecoded, [], False) if plain else (b"", chain, True)
        length += len(piece)
        yield piece


def _decoder(name: str, most: int) -> Decode | None:
    if name in ("gzip", "x-gzip"):
        return _Zlib(zlib.MAX_WBITS | 16, most).feed
    if name == "deflate":
        return _Zlib(zlib.MAX_WBITS, most).feed
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


def _foreign(decode: Callable[[bytes], Any], failure: type[Exception] | tuple[type[Exception], ...]) -> Decode:
    """A decoder of an optional library, whose failures are ``ValueError``."""

    def feed(data: bytes) -> bytes:
        try:
            return bytes(decode(data))
        except failure as error:
            raise ValueError(str(error)) from error

    return feed


def _brotli() -> Decode | None:
    try:
        import brotli
    except ImportError:
        try:
            import brotlicffi as brotli  # type: ignore[import-not-found]  # has no types
        except ImportError:
            return None
    inner = brotli.Decompressor()
    return _foreign(getattr(inner, "process", None) or inner.decompress, brotli.error)


def _zstd() -> Decode | None:
    try:
        import zstandard
    except ImportError:
        return _stdlib_zstd()
    return _foreign(zstandard.ZstdDecompressor().decompressobj().decompress, zstandard.ZstdError)


def _stdlib_zstd() -> Decode | None:
    """Python 3.14's own, or its backport, which httpx2 uses."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return _foreign(module.ZstdDecompressor().decompress, (module.ZstdError, EOFError))
    return None
