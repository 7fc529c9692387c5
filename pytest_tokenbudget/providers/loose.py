"""Reading JSON that somebody else wrote: every accessor gives a value of the asked type, whatever stands there."""

from __future__ import annotations

import json
from typing import Any

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
