"""Amazon's binary event stream (``application/vnd.amazon.eventstream``).

A message is: total length and headers' length (4 bytes each, big endian), a checksum of these, headers, payload, a
checksum of the message. Source: Smithy specification, "Amazon Event Stream", read 2026-11. Checksums are not verified:
the transport below has done so, and a reader that is stricter than the client would miss what the client saw.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_LENGTHS = struct.Struct(">II")
_PRELUDE = 12
_OVERHEAD = 16
_LARGEST = 32 * 1024 * 1024
_FIXED_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _TEXT = 6, 7


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an event stream.

    Attributes:
        headers: Its text headers, such as ``:event-type``.
        payload: Its payload.
        end: Offset in the body just behind it.
    """

    headers: dict[str, str]
    payload: bytes
    end: int


def looks_like(head: bytes) -> bool:
    """Tell whether a body begins with the prelude of a message."""
    if len(head) < _PRELUDE:
        return False
    total, headers = _LENGTHS.unpack_from(head)
    return bool(_OVERHEAD + headers <= total <= _LARGEST)


def messages(body: bytes) -> tuple[list[Message], bool]:
    """Split a body into messages.

    Returns:
        The messages, and whether the body ends where its last message ends; damage ends the list.
    """
    found: list[Message] = []
    known: dict[bytes, dict[str, str]] = {}  # nearly all messages of a stream have the same headers
    position = 0
    while position + _PRELUDE <= len(body):
        total, headers_length = _LENGTHS.unpack_from(body, position)
        end = position + total
        if not _OVERHEAD + headers_length <= total <= _LARGEST or end > len(body):
            break
        split = position + _PRELUDE + headers_length
        head = body[position + _PRELUDE : split]
        if head not in known:
            known[head] = _headers(head)
        found.append(Message(known[head], body[split : end - 4], end))
        position = end
    return found, position == len(body)


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(data):
        size = data[position]
        name = data[position + 1 : position + 1 + size].decode("utf-8", "replace")
        position += 1 + size
        if position >= len(data):
            break
        kind = data[position]
        position += 1
        if kind in (_BYTES, _TEXT):
            length = int.from_bytes(data[position : position + 2], "big")
            if kind == _TEXT:
                found[name] = data[position + 2 : position + 2 + length].decode("utf-8", "replace")
            position += 2 + length
        elif kind in _FIXED_SIZES:
            position += _FIXED_SIZES[kind]
        else:
            break
    return found
