"""Images that a request carries inline are measured without an image library."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.providers.inline_media import image_from_url, image_size, inline_file
from pytest_tokenbudget.records.prompt import File, Image


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480) + b"\x08\x02\x00\x00\x00"
GIF = b"GIF89a" + struct.pack("<HH", 320, 200) + b"\x00" * 5
JPEG_FRAME = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", 600, 800) + b"\x03" * 12
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\x00" * 10 + JPEG_FRAME
JPEG_EXIF = b"\xff\xd8\xff\xe1" + struct.pack(">H", 60_000) + b"\x00" * 59_998 + b"\xff" + JPEG_FRAME
WEBP_LOSSY = b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\x00" * 7 + b"\x9d\x01\x2a" + struct.pack("<HH", 100, 50)
WEBP_LOSSLESS = b"RIFF\x00\x00\x00\x00WEBPVP8L" + b"\x00" * 4 + b"\x2f" + struct.pack("<I", 99 | 49 << 14) + b"\x00" * 9
WEBP_EXTENDED = b"RIFF\x00\x00\x00\x00WEBPVP8X" + b"\x00" * 8 + b"\x63\x00\x00\x31\x00\x00"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PNG, (640, 480)),
        (GIF, (320, 200)),
        (JPEG, (800, 600)),
        (JPEG_EXIF, (800, 600)),
        (WEBP_LOSSY, (100, 50)),
        (WEBP_LOSSLESS, (100, 50)),
        (WEBP_EXTENDED, (100, 50)),
        (PNG[:20], None),
        (JPEG[:20], None),
        (b"", None),
        (b"%PDF", None),
    ],
)
def test_image_sizes_are_read_from_their_headers(data: bytes, size: tuple[int, int] | None):
    """PNG, GIF, JPEG (also behind a long EXIF block) and the three kinds of WebP; damage has no size."""
    assert image_size(b64(data)) == size
    assert image_size(base64.urlsafe_b64encode(data).decode().rstrip("=")) == size


@given(st.text(max_size=200) | st.binary(max_size=200).map(b64))
def test_any_text_for_an_image_does_no_harm(data: str):
    """What is no image has no size, or a harmless one."""
    size = image_size(data)
    assert size is None or len(size) == 2


def test_contents_are_told_apart_without_being_kept():
    """The reference is a digest: equal for equal bytes, never the bytes."""
    first, same = (image_from_url(f"data:image/png;base64,{b64(PNG)}") for _ in range(2))
    other = image_from_url(f"data:image/gif;base64,{b64(GIF)}")
    assert first == same != other
    assert len(first.reference) == 16
    assert image_from_url("https://x.example/i.png", "high") == Image(
        detail="high", reference="https://x.example/i.png"
    )


@given(st.binary(max_size=50))
def test_the_size_of_a_file_is_exact(data: bytes):
    """Padding is not counted."""
    found = inline_file(b64(data), "text/plain")
    assert found == File("text/plain", len(data), None, found.reference)
