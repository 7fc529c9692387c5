"""Server-sent events (HTML standard, section 9.2; read 2026-11), as leniently as model servers need it."""

from __future__ import annotations

from dataclasses import dataclass

_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")


@dataclass(frozen=True, slots=True)
class Events:
    """The events of a stream that carry data.

    Attributes:
        payloads: The data of each; lines of one event are joined with a line feed.
        names: The ``event`` field of each, ``b""`` where it has none.
        ended: Whether the last event was ended by a blank line, as the standard demands.
    """

    payloads: list[bytes]
    names: list[bytes]
    ended: bool


def looks_like(head: bytes) -> bool:
    """Whether a body begins like an event stream."""
    return head.lstrip(b"\xef\xbb\xbf\r\n \t").startswith(_STARTS)


def events(body: bytes) -> Events:
    """Split a body into events.

    Lines may end in CR LF, LF or CR. An event at the end that no blank line ends is kept: many servers forget it.

    Args:
        body: The whole body, decoded.
    """
    payloads: list[bytes] = []
    names: list[bytes] = []
    data: bytes | None = None
    name = b""
    for line in (body[3:] if body.startswith(b"\xef\xbb\xbf") else body).splitlines():
        if not line:
            if data is not None:
                payloads.append(data)
                names.append(name)
                data = None
            name = b""
        elif line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            data = value if data is None else data + b"\n" + value
        elif line.startswith(b"event:"):
            name = line[6:].strip()
    ended = data is None
    if data is not None:
        payloads.append(data)
        names.append(name)
    return Events(payloads, names, ended)


def end_of(body: bytes, number: int) -> int:
    """Offset just behind the blank line that ends an event.

    Args:
        body: The whole body, decoded.
        number: Number of the event among those that carry data, from 0.

    Returns:
        The offset, or the body's length where the event is not ended.
    """
    offset, seen, has_data = 0, -1, False
    for line in body.splitlines(keepends=True):
        offset += len(line)
        bare = line.rstrip(b"\r\n")
        if bare.removeprefix(b"\xef\xbb\xbf").startswith(b"data:"):
            has_data = True
        elif not bare and has_data:
            seen, has_data = seen + 1, False
            if seen == number:
                return offset
    return len(body)
