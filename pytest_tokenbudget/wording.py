"""Writes numbers of things, and texts from outside, in messages."""

from __future__ import annotations

import json
from unicodedata import category

_FILLERS = (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0)
_SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_IGNORABLE = frozenset([*_FILLERS, *(code for codes in _SELECTORS for code in codes)])
"""Characters that show nothing and are no format characters by category (Unicode's Default_Ignorable_Code_Point)."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: ``1 call``, ``3 calls``, ``12,410 tokens``, ``2 entries``.

    Args:
        number: How many.
        noun: The noun for one.
        plural: The noun for several; by default the noun with an s.
    """
    return f"{number:,} {noun if abs(number) == 1 else plural or noun + 's'}"


def plain(text: str, *, limit: int = 400) -> str:
    """Text from a model, a server or a test as one line of visible characters, cut to a length.

    Control characters, format characters (zero width, direction, tags) and other invisible ones are gone; ``##[``, which
    begins a command in the logs of GitHub Actions and Azure Pipelines, is broken up.

    Args:
        text: The text.
        limit: Most characters that are kept.
    """
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_visible, text))
    while "##[" in text:
        text = text.replace("##[", "# #[")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def with_visible_escapes(document: str) -> str:
    """JSON text with the same values, in which nothing hides from a person who reads its diff.

    Invisible characters stand as escapes, and ``##[`` is broken up by one.

    Args:
        document: JSON with line ends between its values.
    """
    if not document.isascii() or not document.replace("\n", "").isprintable():
        hidden = {ord(char): json.dumps(char)[1:-1] for char in set(document) if char != "\n" and not _visible(char)}
        document = document.translate(hidden)
    return document.replace("##[", "#\\u0023[")


def _visible(char: str) -> str:
    kind = category(char)
    if kind == "Zs":
        return " "
    if kind == "Cs":
        return "?"
    return "" if kind in ("Cc", "Cf", "Zl", "Zp") or ord(char) in _IGNORABLE else char
