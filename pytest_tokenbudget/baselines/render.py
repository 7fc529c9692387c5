"""Writes the document of a file as text: the same document, the same bytes.

Written by hand and not by :mod:`json`, since what people review needs one metric a line and one part of the input a line,
which no setting of ``json.dumps`` gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring as quoted
from typing import Any

WIDTH = 160
"""A row of a metric, with its values by stage, that is longer is broken: a stage a line."""

_INDENT = "  "
_ONE_LINE = frozenset({"fixed", "obtained", "origin", "zero"})
"""Keys of a test whose values stand on one line, however long it is."""

_SHORT = frozenset({"outcomes", "pooled", "speed"})
"""Keys of a test whose values stand on one line where they hold one thing."""


def render(document: Mapping[str, Any]) -> str:
    """Write a document.

    Args:
        document: The document, of plain JSON with finite numbers.

    Returns:
        JSON with sorted keys, two spaces a level, one metric and one part of the input a line, a newline at the end.

    Raises:
        ValueError: If it holds what is no plain JSON.
    """
    tests = document["tests"]
    written = _block([f"{quoted(key)}: {_test(tests[key])}" for key in sorted(tests)], depth=2)
    head = "".join(f"{_INDENT}{quoted(key)}: {_plain(document[key])},\n" for key in ("format", "needs"))
    return f'{{\n{head}{_INDENT}"tests": {written}\n}}\n'


def _test(test: Mapping[str, Any]) -> str:
    lines = []
    for key in sorted(test):
        value = test[key]
        if key == "composition":
            text = _block([_plain(line) for line in value], depth=4, brackets="[]")
        elif key in _ONE_LINE or (key in _SHORT and len(value) == 1):
            text = _plain(value)
        elif key == "outcomes":
            text = _block([f"{quoted(name)}: {_plain(value[name])}" for name in sorted(value)], depth=4)
        else:
            text = _block([f"{quoted(name)}: {_row(name, value[name])}" for name in sorted(value)], depth=4)
        lines.append(f"{quoted(key)}: {text}")
    return _block(lines, depth=3)


def _row(name: str, value: Any) -> str:
    text = _plain(value)
    if not isinstance(value, dict) or len(_INDENT) * 4 + len(quoted(name)) + len(text) + 3 <= WIDTH:
        return text
    return _block([f"{quoted(stage)}: {_plain(value[stage])}" for stage in sorted(value)], depth=5)


def _block(lines: list[str], *, depth: int, brackets: str = "{}") -> str:
    """Put lines between brackets; ``depth`` is that of the lines."""
    if not lines:
        return brackets
    indent = "\n" + _INDENT * depth
    outer = "\n" + _INDENT * (depth - 1)
    return f"{brackets[0]}{indent}{(',' + indent).join(lines)}{outer}{brackets[1]}"


_plain = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False).encode
