"""JSON values a line: Ollama, Cohere version 1."""

from __future__ import annotations


def lines(body: bytes) -> list[bytes]:
    """The lines that hold something."""
    return [line for line in body.splitlines() if line and not line.isspace()]


def end_of(body: bytes, number: int) -> int:
    """Offset just behind a line.

    Args:
        body: The whole body, decoded.
        number: Number of the line among those that hold something, from 0.
    """
    offset, seen = 0, -1
    for line in body.splitlines(keepends=True):
        offset += len(line)
        if not line.isspace():
            seen += 1
            if seen == number:
                return offset
    return len(body)
