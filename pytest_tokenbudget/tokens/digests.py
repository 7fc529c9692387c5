"""Short hashes of contents: equal text, equal digest, and no way back to the text."""

from __future__ import annotations

from hashlib import blake2b

SHOWN = 12
"""Hexadecimal digits of a piece's digest: enough to tell the texts of one project apart."""


def digest(text: str) -> str:
    """A text's digest, 32 hexadecimal digits (128 bits), so that it can key counts across sessions."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
