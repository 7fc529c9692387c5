"""Images and files that a request carries inline: their size without an image library."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct

from pytest_tokenbudget.records.prompt import File, Image

_HEAD = 4_096
"""Base64 characters that are decoded first: the size of PNG, GIF, WebP and of most JPEGs stands in them."""

_WHOLE = 400_000
"""Base64 characters that are searched for a JPEG's frame header, which may follow a long EXIF block."""

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})

Size = tuple[int, int]
"""Width and height in pixels."""


def digest(data: str) -> str:
    """A short digest of inline data, to tell contents apart without keeping them."""
    return hashlib.sha256(data.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def inline_image(data: str, detail: str | None = None) -> Image:
    """An image that stands in the request as base64."""
    size = image_size(data)
    width, height = size if size else (None, None)
    return Image(width=width, height=height, detail=detail, reference=digest(data))


def image_from_url(url: str, detail: str | None = None) -> Image:
    """An image by URL; a ``data:`` URL is looked into, any other is only named."""
    data = split_data_url(url)[1]
    return Image(detail=detail, reference=url) if data is None else inline_image(data, detail)


def inline_file(data: str, media_type: str = "") -> File:
    """A file that stands in the request as base64."""
    if data.startswith("data:"):
        found, inner = split_data_url(data)
        data, media_type = inner or "", media_type or found
    size = (len(data) - data[-2:].count("=")) * 3 // 4
    return File(media_type=media_type, size=size, reference=digest(data))


def split_data_url(url: str) -> tuple[str, str | None]:
    """Media type and base64 text of a ``data:`` URL; ``("", None)`` for any other URL."""
    if not url.startswith("data:"):
        return "", None
    head, _, data = url[5:].partition(",")
    return head.split(";", 1)[0], data


def image_size(data: str) -> Size | None:
    """Width and height of a base64 image: PNG, JPEG, GIF or WebP.

    Args:
        data: Base64 text, padded or not, standard or URL-safe alphabet.

    Returns:
        Pixels, or ``None`` where the bytes are none of these formats or are damaged.
    """
    head = _decoded(data[:_HEAD])
    size = _size_of(head)
    if size is None and head.startswith(b"\xff\xd8"):
        size = _jpeg(_decoded(data[:_WHOLE]))
    return size


def _decoded(text: str) -> bytes:
    text = text.replace("-", "+").replace("_", "/")
    text = text[: len(text) - len(text) % 4] if len(text) % 4 == 1 else text
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=False)
    except (binascii.Error, ValueError):
        return b""


def _size_of(head: bytes) -> Size | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return struct.unpack(">II", head[16:24])
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        return struct.unpack("<HH", head[6:10])
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg(head)
    return None


def _webp(head: bytes) -> Size | None:
    if len(head) < 30:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(data: bytes) -> Size | None:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _JPEG_BARE:
            position += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
        else:
            position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return None
