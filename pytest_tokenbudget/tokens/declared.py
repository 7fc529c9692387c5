"""Tools as Gemini counts them: by the words of their declaration, whatever its JSON looks like.

The list of what is a word is that of Google's own local tokenizer (github.com/googleapis/python-genai,
``google/genai/local_tokenizer.py``, read 2026-11-27): names, descriptions, formats, values and required names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_tokenbudget.records.prompt import Tool

_DEEP = 16
"""Levels after which a schema is not looked into: a recursive one has no end."""


def declaration(tool: Tool) -> str:
    """The words of a tool: a line of its own name and description, then one for each parameter, nested ones too."""
    own = [tool.name, tool.description or ""]
    lines: list[str] = []
    own += _words(tool.parameters, lines, 0)
    return "\n".join([_line(own), *lines])


def _words(schema: Any, lines: list[str], depth: int) -> Iterator[str]:
    """The words of a schema itself; those of its properties are added to ``lines``."""
    if not isinstance(schema, dict) or depth > _DEEP:
        return
    for key in ("title", "format", "description"):
        if isinstance(schema.get(key), str):
            yield schema[key]
    for key in ("enum", "required"):
        if isinstance(schema.get(key), list):
            yield from map(str, schema[key])
    for key in ("properties", "$defs"):
        if isinstance(schema.get(key), dict):
            for name, inner in schema[key].items():
                lines.append(_line([str(name), *_words(inner, lines, depth + 1)]))
    yield from _words(schema.get("items"), lines, depth + 1)
    for key in ("anyOf", "any_of", "oneOf"):
        if isinstance(schema.get(key), list):
            for variant in schema[key]:
                yield from _words(variant, lines, depth + 1)


def _line(words: list[str]) -> str:
    return " ".join(" ".join(words).split())
