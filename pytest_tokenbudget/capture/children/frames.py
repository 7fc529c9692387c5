"""Frames: the form of a child's file, and of the questions that it asks its session.

A file's frames are only ever appended. A frame is two lengths of eight hexadecimal digits, a head in JSON, and a
blob. A process that is killed can leave half a frame, and only as the last one of its file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

_LENGTHS = 16
_LONGEST = 1 << 30


class Frame(NamedTuple):
    """One frame."""

    head: dict[str, Any]
    blob: bytes


class BrokenFile(ValueError):
    """A file that holds something else than frames."""


def encode(head: dict[str, Any], blob: bytes = b"") -> bytes:
    """A frame as bytes, to be appended in one piece."""
    text = json.dumps(head, separators=(",", ":")).encode("ascii")
    return b"%08x%08x" % (len(text), len(blob)) + text + blob


def decode(data: bytes) -> Iterator[tuple[Frame, int]]:
    """The whole frames at the beginning of some bytes, each with the offset of its end; raises where they are none."""
    at = 0
    while len(data) - at >= _LENGTHS:
        try:
            head_length, blob_length = int(data[at : at + 8], 16), int(data[at + 8 : at + 16], 16)
        except ValueError:
            raise BrokenFile(f"no length stands at byte {at}") from None
        if head_length + blob_length > _LONGEST:
            raise BrokenFile(f"the frame at byte {at} is longer than any can be")
        blob_at = at + _LENGTHS + head_length
        if len(data) - blob_at < blob_length:
            return
        try:
            head = json.loads(data[at + _LENGTHS : blob_at])
        except ValueError:
            raise BrokenFile(f"the frame at byte {at} has no head in JSON") from None
        if not isinstance(head, dict):
            raise BrokenFile(f"the head of the frame at byte {at} is no object")
        at = blob_at + blob_length
        yield Frame(head, data[blob_at:at]), at


def pieces(blob: bytes, lengths: Any) -> tuple[bytes, ...]:
    """The chunks that stand in a blob one after the other."""
    ends = list(accumulate(lengths))
    return tuple(blob[end - length : end] for end, length in zip(ends, lengths, strict=True))


def pairs(listed: Any) -> tuple[tuple[str, str], ...]:
    """Header pairs that stand in a head."""
    return tuple((str(name), str(value)) for name, value in listed)
