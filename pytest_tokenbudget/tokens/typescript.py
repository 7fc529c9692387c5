"""Writes function tools as OpenAI shows them to its models: a namespace of TypeScript types.

The form is that of OpenAI's own renderer for gpt-oss (github.com/openai/harmony, ``src/encoding.rs``,
``template_tools_section`` and ``json_schema_to_typescript``, read 2026-11-24). Where the hosted models' token counts
differ from it, the counts decide; those rules say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_tokenbudget.records.prompt import OutputSchema, Tool
from pytest_tokenbudget.tokens.counts import Fragment, Memo, framing

NAMESPACE = 7
"""``namespace functions`` in front of the tools, ``;``, ``} // namespace functions`` behind them."""

Schema = dict[str, Any]
_DEEP = 16
"""Levels after which a schema is shown as ``any``: a recursive one has no end."""

_TYPES = {"integer": "number"}
_OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences between the APIs, by their token counts.

    Attributes:
        unions_explained: Chat completions show a list of types with a description as one variant a line, the description
            at each of them, and a variant's ``format`` behind it.
    """

    unions_explained: bool = False


def tool_type(tool: Tool, dialect: Dialect) -> str:
    """One function as a type: comment lines, then ``type name = (_: {...}) => any`` without the final semicolon."""
    schema = tool.parameters if isinstance(tool.parameters, dict) else {}
    root = _resolved(schema, schema)
    about = "".join(f"// {line}\n" for line in _lines(tool.description))
    if not _properties(root):
        return f"{about}type {tool.name} = () => any"
    lead = _comments(root)
    writer = _Writer(schema, dialect)
    return f"{about}type {tool.name} = (_: {''.join(line + chr(10) for line in lead)}{writer.fields(root, 0)}) => any"


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the types of one tool; ``root`` is where references point."""

    root: Schema
    dialect: Dialect

    def fields(self, schema: Schema, depth: int) -> str:
        """``{ a: string, b?: number }`` on one line, or a line each as soon as a property has a comment."""
        required = schema.get("required")
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        entries: list[tuple[list[str], str, str]] = []
        for name, raw in _properties(schema).items():
            inner = _resolved(raw, self.root)
            default = f" // default: {_json(inner['default'])}" if "default" in inner else ""
            head = name if name in needed else f"{name}?"
            entries.append((_comments(inner), f"{head}:{self.field(inner, depth + 1)}", default))
        if not any(about or default for about, _, default in entries):
            return "{ " + ", ".join(line for _, line, _ in entries) + " }"
        lines = ["{"]
        for about, line, default in entries:
            lines += about
            lines.append(f"{line},{default}")
        return "\n".join([*lines, "}"])

    def field(self, schema: Schema, depth: int) -> str:
        """A property's type with what stands between it and the colon."""
        if self.dialect.unions_explained and (lines := self._explained(schema, depth)):
            return "\n" + "\n".join(lines) + "\n"
        return f" {self.kind(schema, depth)}"

    def _explained(self, schema: Schema, depth: int) -> list[str]:
        """The lines of a union whose variants have something to say, ``[]`` where none has."""
        kinds = schema.get("type")
        if isinstance(kinds, list) and len(kinds) > 1 and (about := _lines(schema.get("description"))):
            lines: list[str] = []
            for one in kinds:
                lines += [*(f"// {line}" for line in about), f" | {self.kind({**schema, 'type': one}, depth)}"]
            return lines
        for key in ("anyOf", "oneOf"):
            variants = [_resolved(variant, self.root) for variant in _list(schema.get(key))]
            if any(isinstance(variant.get("format"), str) for variant in variants):
                return [f" | {self._variant(variant, depth)}{_format(variant)}" for variant in variants]
        return []

    def kind(self, schema: Schema, depth: int) -> str:
        """A type as it stands behind a property's name."""
        if depth > _DEEP:
            return "any"
        schema = _resolved(schema, self.root)
        if values := _list(schema.get("enum")) or [schema[key] for key in ("const",) if key in schema]:
            return " | ".join(_json(value) for value in values)
        for key in ("anyOf", "oneOf"):
            if variants := _list(schema.get(key)):
                return " | ".join(self._variant(variant, depth + 1) for variant in variants)
        if len(merged := _list(schema.get("allOf"))) == 1:
            return self.kind(merged[0], depth + 1)
        name = schema.get("type")
        if isinstance(name, list):
            return " | ".join(self.kind({**schema, "type": one}, depth + 1) for one in name)
        return self._named(name, schema, depth)

    def _named(self, name: object, schema: Schema, depth: int) -> str:
        if name == "array":
            return self._array(schema, depth)
        if _properties(schema):
            return self.fields(schema, depth)
        return _TYPES.get(name, name) if isinstance(name, str) else "any"

    def _variant(self, variant: object, depth: int) -> str:
        """A union's variant; by its counts, chat completions name an array of simple values ``array``."""
        schema = _resolved(variant, self.root)
        if self.dialect.unions_explained and schema.get("type") == "array":
            items = _resolved(schema.get("items"), self.root)
            if isinstance(items.get("type"), str) and items["type"] != _OBJECT:
                return "array"
        return self.kind(schema, depth)

    def _array(self, schema: Schema, depth: int) -> str:
        """``T[]``; an object with comments stands on its own lines in ``Array<...>`` behind its title."""
        if not schema.get("items"):
            return "any[]"
        items = _resolved(schema["items"], self.root)
        inner = self.kind(items, depth + 1)
        if inner.startswith("{\n"):
            return "\n".join(["Array<", *_comments(items), inner, ">"])
        return f"{inner}[]"


def _format(schema: Schema) -> str:
    name = schema.get("format")
    return f' // format: "{name}"' if isinstance(name, str) else ""


def _comments(schema: Schema) -> list[str]:
    title, about = schema.get("title"), _lines(schema.get("description"))
    lines = []
    if isinstance(title, str) and title:
        lines.append(f"// {title}")
        if about:
            lines.append("//")
    return [*lines, *(f"// {line}" for line in about)]


def _lines(text: object) -> list[str]:
    """Lines of a description, stripped; blank ones are not shown."""
    if not isinstance(text, str):
        return []
    return [line for raw in text.split("\n") if (line := raw.strip())]


def _properties(schema: Schema) -> Schema:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(value: object) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "any"


def _resolved(schema: object, root: Schema) -> Schema:
    """The schema behind a reference within the same document, with the keys that stand beside the reference."""
    for _ in range(_DEEP):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            break
        found: object = root
        for step in schema["$ref"].lstrip("#/").split("/"):
            found = found.get(step) if isinstance(found, dict) else None
        schema = {
            **(found if isinstance(found, dict) else {}),
            **{key: value for key, value in schema.items() if key != "$ref"},
        }
    return schema if isinstance(schema, dict) else {}


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
