"""JSON that may be damaged: nothing here raises, and what could not be parsed is said."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

BROKEN: Any = object()
"""Stands for a text that is no JSON; ``None`` is JSON's own null."""

_BOM = "\ufeff"


def parse(data: bytes | str) -> Any:
    """Parse one JSON text.

    Args:
        data: The text. Bytes are UTF-8, or UTF-16 or UTF-32 where they look so, as clients take them; what does not fit
            becomes U+FFFD.

    Returns:
        The value, or :data:`BROKEN` where it is no JSON or is nested too deeply. Integers beyond Python's limit of
        digits become infinity, duplicated keys keep their last value.
    """
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "replace")
    if text[:1] == _BOM:
        text = text[1:]
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return BROKEN
    except ValueError:
        return _with_huge_integers(text)


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
