"""Outcomes as a file can hold them, so that what is compared now equals what was stored."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 50
_LARGEST = 2**63


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
    if isinstance(value, (int, float)):
        return _number(value)
    return _container(value, depth + 1) if depth < _DEEPEST else _described(value)


def _number(value: float) -> Any:
    if isinstance(value, int):
        return int(value) if abs(value) < _LARGEST else _described(value)
    return float(value) if math.isfinite(value) else repr(float(value))


def _container(value: object, depth: int) -> Any:
    if isinstance(value, Mapping):
        pairs = ((_key(key), storable(item, depth=depth)) for key, item in value.items())
        return dict(sorted(pairs, key=lambda pair: pair[0]))
    if isinstance(value, (list, tuple)):
        return [storable(item, depth=depth) for item in value]
    if isinstance(value, Set):
        return sorted((storable(item, depth=depth) for item in value), key=repr)
    return _described(value)


def _key(key: object) -> str:
    text = key if isinstance(key, str) else _described(key)
    return str(storable(text))


def _described(value: object) -> str:
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception:  # a repr of somebody else's class may raise anything, and the test must not suffer for it
        text = f"<{type(value).__name__}>"
    return str(storable(text))
