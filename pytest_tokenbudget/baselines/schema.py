"""Describes what a baseline file may hold: files are validated by it, and the JSON Schema is made from it.

It is written in pydantic's core language instead of as model classes: a session then imports only ``pydantic_core``, a third
of what ``pydantic`` takes. Unknown keys are forbidden. Types are strict: ``3`` is an ``int``, ``3.0`` a ``float``, and
``"3"``, ``true`` or ``NaN`` no number.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pytest_tokenbudget.baselines.migrations import FORMAT
from pytest_tokenbudget.records.baseline import LARGEST, SMALLEST
from pytest_tokenbudget.records.composition import PART_NAMES

Schema = dict[str, Any]


def _list(of: Schema, **bounds: int) -> Schema:
    return {"type": "list", "items_schema": of, "strict": True, **bounds}


def _by_text(of: Schema, **bounds: int) -> Schema:
    return {"type": "dict", "keys_schema": _TEXT, "values_schema": of, "strict": True, **bounds}


def _tuple(*of: Schema) -> Schema:
    return {"type": "tuple", "items_schema": list(of)}


def _object(required: dict[str, Schema], optional: dict[str, Schema]) -> Schema:
    """An object with these keys and no other."""
    fields = {
        name: {"type": "typed-dict-field", "schema": schema, "required": name in required}
        for name, schema in (required | optional).items()
    }
    return {"type": "typed-dict", "fields": fields, "extra_behavior": "forbid", "strict": True}


_TEXT: Schema = {"type": "str", "strict": True}
_BOOL: Schema = {"type": "bool", "strict": True}
_INT: Schema = {"type": "int", "strict": True}
_COUNT: Schema = {**_INT, "ge": 0, "le": LARGEST}
_COUNT_OR_NULL: Schema = {"type": "nullable", "schema": _COUNT}
_FLOAT: Schema = {"type": "float", "strict": True, "allow_inf_nan": False}
_ZERO: Schema = {**_FLOAT, "ge": 0, "le": 0}
_POSITIVE: Schema = {**_FLOAT, "ge": SMALLEST, "le": LARGEST}
_NEGATIVE: Schema = {**_FLOAT, "ge": -LARGEST, "le": -SMALLEST}
_SECONDS: Schema = {"type": "union", "choices": [_COUNT, _POSITIVE, _ZERO]}
_NUMBER: Schema = {
    "type": "union",
    "choices": [{**_INT, "ge": -LARGEST, "le": LARGEST}, _POSITIVE, _ZERO, _NEGATIVE],
    "mode": "left_to_right",
    "custom_error_type": "number",
    "custom_error_message": f"Input should be a number: 0, or between {SMALLEST:.0e} and {LARGEST:.0e} in size",
}

_JSON: Schema = {"type": "definition-ref", "schema_ref": "Json"}
_JSON_VALUE: Schema = {
    "type": "union",
    "choices": [{"type": "none"}, _BOOL, _INT, _FLOAT, _TEXT, _list(_JSON), _by_text(_JSON)],
    "mode": "left_to_right",
    "custom_error_type": "json",
    "custom_error_message": "Input should be plain JSON with finite numbers",
    "ref": "Json",
}
"""Any JSON value with finite numbers; it refers to itself."""


def _kind(value: object) -> str:
    """Name the shape of a value of a metric. Tags stand in angle brackets, by which they are told from keys in messages."""
    return "<stages>" if isinstance(value, dict) else "<sessions>" if isinstance(value, list) else "<number>"


_VALUES: Schema = {"<number>": _NUMBER, "<sessions>": _list(_list(_NUMBER, min_length=1), min_length=1)}
_VALUE: Schema = {"type": "tagged-union", "choices": _VALUES, "discriminator": _kind}
_ROW: Schema = {**_VALUE, "choices": {**_VALUES, "<stages>": _by_text(_VALUE, min_length=1)}}

_PART = _object(
    {"calls": _COUNT, "tokens": _COUNT},
    {"behind": _COUNT, "digest": _TEXT, "distinct": _COUNT, "largest": _COUNT, "repeated": _COUNT},
)
_STAGE = _object(
    {},
    {
        "calls": _COUNT,
        "estimated": _BOOL,
        "failed_attempts": _COUNT,
        "input_tokens": _COUNT,
        "models": _list(_TEXT),
        "output_tokens": _COUNT_OR_NULL,
        "reasoning_tokens": _COUNT_OR_NULL,
    },
)
_PART_NAME: Schema = {"type": "literal", "expected": list(PART_NAMES)}
_COMPOSITION_LINE: Schema = {
    "type": "tagged-union",
    "choices": {
        "<2>": _tuple(_TEXT, _STAGE),
        "<3>": _tuple(_TEXT, _PART_NAME, _PART),
        "<4>": _tuple(_TEXT, _PART_NAME, _TEXT, _PART),
    },
    "discriminator": lambda line: f"<{len(line)}>" if isinstance(line, list | tuple) else None,
    "custom_error_type": "line",
    "custom_error_message": "Input should be [stage, part, {...}], [stage, part, name, {...}] or [stage, {...}]",
}

_FIXED_LINE = _tuple(_TEXT, _TEXT, {**_INT, "ge": -LARGEST, "le": LARGEST}, _COUNT_OR_NULL, _COUNT)
"""``[stage, opening, tokens beside system prompt and tools, first user turn or null, calls]``."""

_SPEED = _tuple(_SECONDS, _SECONDS, _SECONDS, {**_INT, "ge": 1, "le": LARGEST})
"""``[s a call, s a token read, s a token written, calls]``."""

_OBTAINED = _object(
    {
        "models": _list(_TEXT),
        "providers": _list(_TEXT),
        "traffic": {"type": "literal", "expected": ["live", "replay", "scripted"]},
    },
    {"sources": _by_text(_TEXT)},
)
_ENTRY = _object(
    {"composition": _list(_COMPOSITION_LINE), "metrics": _by_text(_ROW), "obtained": _OBTAINED},
    {
        "fixed": _by_text(_list(_FIXED_LINE)),
        "speed": _by_text(_by_text(_SPEED)),
        "origin": _by_text({"type": "nullable", "schema": _NUMBER}),
        "outcomes": _by_text(_JSON),
        "pooled": _by_text(_ROW),
        "zero": _list(_TEXT),
    },
)
CORE_SCHEMA: Schema = {
    "type": "definitions",
    "schema": _object({"format": {**_INT, "ge": FORMAT, "le": FORMAT}, "needs": _TEXT, "tests": _by_text(_ENTRY)}, {}),
    "definitions": [_JSON_VALUE],
}
"""A whole file, as a ``pydantic_core`` schema."""


@cache
def validator() -> Any:
    """Make the ``pydantic_core.SchemaValidator`` of a file's document."""
    from pydantic_core import SchemaValidator

    return SchemaValidator(CORE_SCHEMA)


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema (2020-12) of a baseline file: what ``tokenbudget schema baseline`` prints."""
    from pydantic.json_schema import GenerateJsonSchema

    generated = GenerateJsonSchema().generate(CORE_SCHEMA, mode="validation")
    generated["properties"]["format"] = {"const": FORMAT, "title": "Format"}
    return {
        **generated,
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "pytest-tokenbudget baseline",
        "description": "Stored measurements of the tests of one file.",
    }
