"""Describes what a baseline file may hold: files are validated by it, and the JSON Schema is made from it.

It is written in pydantic's core language instead of as model classes: a session then imports only ``pydantic_core``, a third
of what ``pydantic`` takes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pytest_tokenbudget.baselines.migrations import FORMAT
from pytest_tokenbudget.records.baseline import LARGEST, SMALLEST
from pytest_tokenbudget.records.composition import PART_NAMES

_JSON = "Json"
_NUMBER_MESSAGE = f"Input should be a number: 0, or between {SMALLEST:.0e} and {LARGEST:.0e} in size"


def core_schema() -> Any:
    """Describe a whole file, as a ``pydantic_core`` schema.

    Unknown keys are forbidden. Types are strict: ``3`` is an ``int``, ``3.0`` a ``float``, and ``"3"``, ``true`` or ``NaN`` no
    number.
    """
    from pydantic_core import core_schema as s

    text = s.str_schema(strict=True)
    session = s.list_schema(_number(), min_length=1, strict=True)
    values = {"<number>": _number(), "<sessions>": s.list_schema(session, min_length=1, strict=True)}
    value = s.tagged_union_schema(dict(values), discriminator=_kind)
    by_stage = s.dict_schema(text, value, strict=True, min_length=1)
    row = s.tagged_union_schema({**values, "<stages>": by_stage}, discriminator=_kind)
    rows = s.dict_schema(text, row, strict=True)
    obtained = _object(
        required={
            "models": s.list_schema(text, strict=True),
            "providers": s.list_schema(text, strict=True),
            "traffic": s.literal_schema(["live", "replay", "scripted"]),
        },
        optional={"sources": s.dict_schema(text, text, strict=True)},
    )
    entry = _object(
        required={
            "composition": s.list_schema(_composition_line(), strict=True),
            "metrics": rows,
            "obtained": obtained,
        },
        optional={
            "fixed": s.dict_schema(text, s.list_schema(_fixed_line(), strict=True), strict=True),
            "speed": s.dict_schema(text, s.dict_schema(text, _speed(), strict=True), strict=True),
            "origin": s.dict_schema(text, s.nullable_schema(_number()), strict=True),
            "outcomes": s.dict_schema(text, s.definition_reference_schema(_JSON), strict=True),
            "pooled": rows,
            "zero": s.list_schema(text, strict=True),
        },
    )
    document = _object(
        required={
            "format": s.int_schema(strict=True, ge=FORMAT, le=FORMAT),
            "needs": text,
            "tests": s.dict_schema(text, entry, strict=True),
        },
        optional={},
    )
    return s.definitions_schema(document, [_json()])


def _kind(value: object) -> str:
    """Name the shape of a value of a metric. Tags stand in angle brackets, by which they are told from keys in messages."""
    return "<stages>" if isinstance(value, dict) else "<sessions>" if isinstance(value, list) else "<number>"


def _object(required: dict[str, Any], optional: dict[str, Any]) -> Any:
    """An object with these keys and no other."""
    from pydantic_core import core_schema as s

    fields = {name: s.typed_dict_field(schema, required=True) for name, schema in required.items()}
    fields |= {name: s.typed_dict_field(schema, required=False) for name, schema in optional.items()}
    return s.typed_dict_schema(fields, extra_behavior="forbid", strict=True)


def _composition_line() -> Any:
    """``[stage, part, {...}]``, ``[stage, part, name, {...}]``, or ``[stage, {...}]`` for what concerns the whole stage."""
    from pydantic_core import core_schema as s

    text = s.str_schema(strict=True)
    count = s.int_schema(strict=True, ge=0, le=LARGEST)
    part = _object(
        required={"calls": count, "tokens": count},
        optional={"behind": count, "digest": text, "distinct": count, "largest": count, "repeated": count},
    )
    stage = _object(
        required={},
        optional={
            "calls": count,
            "estimated": s.bool_schema(strict=True),
            "failed_attempts": count,
            "input_tokens": count,
            "models": s.list_schema(text, strict=True),
            "output_tokens": s.nullable_schema(count),
            "reasoning_tokens": s.nullable_schema(count),
        },
    )
    name = s.literal_schema(list(PART_NAMES))
    return s.tagged_union_schema(
        {
            "<2>": s.tuple_schema([text, stage]),
            "<3>": s.tuple_schema([text, name, part]),
            "<4>": s.tuple_schema([text, name, text, part]),
        },
        discriminator=lambda line: f"<{len(line)}>" if isinstance(line, list | tuple) else None,
        custom_error_type="line",
        custom_error_message="Input should be [stage, part, {...}], [stage, part, name, {...}] or [stage, {...}]",
    )


def _fixed_line() -> Any:
    """``[stage, opening, tokens beside system prompt and tools, first user turn or null, calls]``."""
    from pydantic_core import core_schema as s

    text, count = s.str_schema(strict=True), s.int_schema(strict=True, ge=0, le=LARGEST)
    beside = s.int_schema(strict=True, ge=-LARGEST, le=LARGEST)
    return s.tuple_schema([text, text, beside, s.nullable_schema(count), count])


def _speed() -> Any:
    """``[s a call, s a token read, s a token written, calls]``."""
    from pydantic_core import core_schema as s

    seconds = s.union_schema(
        [
            s.int_schema(strict=True, ge=0, le=LARGEST),
            s.float_schema(strict=True, ge=SMALLEST, le=LARGEST),
            s.float_schema(strict=True, ge=0, le=0),
        ]
    )
    return s.tuple_schema([seconds, seconds, seconds, s.int_schema(strict=True, ge=1, le=LARGEST)])


def _number() -> Any:
    from pydantic_core import core_schema as s

    return s.union_schema(
        [
            s.int_schema(strict=True, ge=-LARGEST, le=LARGEST),
            s.float_schema(strict=True, allow_inf_nan=False, ge=SMALLEST, le=LARGEST),
            s.float_schema(strict=True, allow_inf_nan=False, ge=0, le=0),
            s.float_schema(strict=True, allow_inf_nan=False, ge=-LARGEST, le=-SMALLEST),
        ],
        mode="left_to_right",
        custom_error_type="number",
        custom_error_message=_NUMBER_MESSAGE,
    )


def _json() -> Any:
    """Any JSON value with finite numbers; it refers to itself."""
    from pydantic_core import core_schema as s

    text = s.str_schema(strict=True)
    itself = s.definition_reference_schema(_JSON)
    return s.union_schema(
        [
            s.none_schema(),
            s.bool_schema(strict=True),
            s.int_schema(strict=True),
            s.float_schema(strict=True, allow_inf_nan=False),
            text,
            s.list_schema(itself, strict=True),
            s.dict_schema(text, itself, strict=True),
        ],
        mode="left_to_right",
        custom_error_type="json",
        custom_error_message="Input should be plain JSON with finite numbers",
        ref=_JSON,
    )


@cache
def validator() -> Any:
    """Make the ``pydantic_core.SchemaValidator`` of a file's document."""
    from pydantic_core import SchemaValidator

    return SchemaValidator(core_schema())


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema (2020-12) of a baseline file: what ``tokenbudget schema baseline`` prints."""
    from pydantic.json_schema import GenerateJsonSchema

    generated = GenerateJsonSchema().generate(core_schema(), mode="validation")
    generated["properties"]["format"] = {"const": FORMAT, "title": "Format"}
    return {
        **generated,
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "pytest-tokenbudget baseline",
        "description": "Stored measurements of the tests of one file.",
    }
