"""Function tools and schemas of structured outputs, as OpenAI's models read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from pytest_tokenbudget.records.prompt import OutputSchema, Tool
from pytest_tokenbudget.tokens.fragments import Fragment, framing
from pytest_tokenbudget.tokens.memo import Memo
from pytest_tokenbudget.tokens.openai_rules import NAMESPACE
from pytest_tokenbudget.tokens.typescript import Dialect, tool_type

_OPEN, _NEXT = " {\n\n", ";\n\n"
_DROPPED = frozenset(
    {
        "$schema",
        "additionalProperties",
        "default",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "multipleOf",
        "pattern",
        "required",
        "uniqueItems",
    }
)
"""Keywords that the grammar of a structured output holds, or that speak of the schema, and the model is not shown."""


def namespace(tools: Sequence[Tool], memo: Memo, dialect: Dialect, *, apart: bool) -> Iterator[Fragment]:
    """The functions of a request as fragments, one a tool.

    The texts are cut where both encodings' splitting patterns cut, between a word and the punctuation behind it, so
    the sum over the fragments is the count of the whole.

    Args:
        tools: The function tools.
        memo: Renders each definition once.
        dialect: What the API does differently.
        apart: Whether the namespace's opening is encoded apart from the first tool, as reasoning models' is.
    """
    yield framing(NAMESPACE + apart)
    lead = "" if apart else _OPEN
    for tool in tools:
        key = ("typescript", dialect, tool.name, tool.description)
        text = memo.render(key, tool.parameters, partial(tool_type, tool, dialect))
        yield Fragment("tools", tool.name, lead + text, identity=text)
        lead = _NEXT


def response_format(wanted: OutputSchema) -> str:
    """The section that shows the model the schema of its answer.

    ``# Response Formats``, ``## name``, the description as a comment, then the schema as compact ASCII-only JSON
    without the keywords that the decoder enforces by itself (the section's form: OpenAI's Harmony guide, "Structured
    output", read 2026-11-24; the keywords: fitted).
    """
    about = f"// {wanted.description}\n" if wanted.description else ""
    try:
        schema = json.dumps(_shown(wanted.schema), separators=(",", ":"), default=str)
    except (ValueError, RecursionError):
        schema = "{}"
    return f"# Response Formats\n\n## {wanted.name}\n\n{about}{schema}"


def _shown(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_shown(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    shown: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            # here the keys are names that the user gave, not keywords
            shown[key] = {name: _shown(inner) for name, inner in value.items()}
        elif key not in _DROPPED:
            shown[key] = _shown(value)
    return shown
