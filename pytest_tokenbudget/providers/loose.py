"""JSON that somebody else wrote: parsing that never raises, and accessors that give a value of the asked type."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

BROKEN: Any = object()
"""Stands for a text that is no JSON; ``None`` is JSON's own null."""

_BOM = "\ufeff"

MAX_COUNT = 10**12
"""The largest number of tokens that is believed; a larger one is damage, and is read as unknown."""


def as_dict(value: object) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value where it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_str(value: object) -> str:
    """The value where it is a string, else ``""``."""
    return value if isinstance(value, str) else ""


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array; what is no object is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def count(value: object) -> int | None:
    """A number of tokens: a whole number from 0 on, else ``None``.

    A provider's ``12.0`` is 12; ``true``, ``NaN``, negative and absurdly large numbers are unknown.
    """
    if value.__class__ is int:  # nearly always; no bool, whose class is another
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not value.is_integer():  # NaN and the infinities are not integers either
            return None
        value = int(value)
    if isinstance(value, int) and 0 <= value <= MAX_COUNT:
        return value
    return None


def first_count(*values: object) -> int | None:
    """The first of the values that is a number of tokens."""
    for value in values:
        found = count(value)
        if found is not None:
            return found
    return None


def added(*values: int | None) -> int | None:
    """The sum of what is known, ``None`` where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def compact(value: object) -> str:
    """The value as compact JSON, key order kept; strings stay what they are."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError, TypeError):
        return ""


def parse(data: bytes | str) -> Any:
    """Parse one JSON text.

    Args:
        data: The text. Bytes are UTF-8, or UTF-16 or UTF-32 where they look so, as clients take them; what does not fit
            becomes U+FFFD.

    Returns:
        The value, or :data:`BROKEN` where it is no JSON or is nested too deeply. Integers beyond Python's limit of
        digits become infinity, duplicated keys keep their last value.
    """
    text = data if isinstance(data, str) else data.decode(_encoding(data), "replace")
    if text[:1] == _BOM:
        text = text[1:]
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return BROKEN
    except ValueError:
        return _with_huge_integers(text)


def _encoding(data: bytes) -> str:
    """The encoding of a JSON text, without asking where its first two characters are ASCII: then it is UTF-8."""
    return "utf-8" if len(data) > 1 and 0 < data[0] < 128 and data[1] else json.detect_encoding(data)


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
