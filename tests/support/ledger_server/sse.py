"""Framing of streamed events."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any


def dumps(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def data(value: object) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + dumps(value) + b"\n\n"


def event(value: dict[str, Any], name: str = "") -> bytes:
    """A server-sent event named after its ``type``, or as told."""
    return b"event: " + (name or str(value["type"])).encode() + b"\n" + data(value)


def line(value: object) -> bytes:
    """A line of newline-delimited JSON."""
    return dumps(value) + b"\n"


def aws(name: str, payload: dict[str, Any], kind: str = "event") -> bytes:
    """A message of ``application/vnd.amazon.eventstream`` with its two CRC32 sums.

    Layout: total length, header length, CRC of these two; headers (name length u8, name, type 7, value length u16,
    value); payload; CRC of all before (AWS, "Amazon event stream specification", read 2026-11-24).
    """
    type_header = ":event-type" if kind == "event" else ":exception-type"
    pairs = ((type_header, name), (":content-type", "application/json"), (":message-type", kind))
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in pairs
    )
    body = dumps(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))
