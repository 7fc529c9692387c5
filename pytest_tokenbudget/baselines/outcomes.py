"""Outcomes as a file can hold them, so that what is compared now equals what was stored."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 50


def storable(value: object, *, depth: int = 0) -> Any:
    """A value as plain JSON, the same for the same value in every session.

    Args:
        value: Whatever an agent's test called an outcome.
        depth: Levels above it.

    Returns:
        Text, finite numbers, booleans, ``None``, lists and dictionaries with text keys. Sets become sorted lists; what
        JSON has no word for becomes its ``repr`` without memory addresses. Compare outcomes in this form only.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", str(value))
    if isinstance(value, int):
        return int(value) if abs(value) < 10**300 else _described(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if depth >= _DEEPEST:
        return _described(value)
    if isinstance(value, Mapping):
        pairs = ((_key(key), storable(item, depth=depth + 1)) for key, item in value.items())
        return dict(sorted(pairs, key=lambda pair: pair[0]))
    if isinstance(value, (list, tuple)):
        return [storable(item, depth=depth + 1) for item in value]
    if isinstance(value, Set):
        return sorted((storable(item, depth=depth + 1) for item in value), key=repr)
    return _described(value)


def _key(key: object) -> str:
    text = key if isinstance(key, str) else _described(key)
    return str(storable(text))


def _described(value: object) -> str:
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception:  # noqa: BLE001  # a repr of somebody else's class may raise anything; the test must not suffer
        text = f"<{type(value).__name__}>"
    return str(storable(text))
