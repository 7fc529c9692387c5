"""What a baseline file may hold: the one description from which files are validated and the JSON Schema is made.

It is written in pydantic's core language instead of as model classes: the validator then builds our own frozen records
in one pass over the bytes, and a session imports only ``pydantic_core``, a third of what ``pydantic`` takes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pytest_tokenbudget.baselines.migrations import FORMAT
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.composition import PART_NAMES, PartTotal, StageComposition

_JSON = "Json"


def core_schema() -> Any:
    """The description of a whole file, as a ``pydantic_core`` schema.

    All keys are required and others are forbidden. Types are strict: ``3`` is an ``int``, ``3.0`` a ``float``, and
    ``"3"``, ``true`` or ``NaN`` no number.
    """
    from pydantic_core import core_schema as s

    text = s.str_schema(strict=True)
    metrics = s.dict_schema(text, s.definition_reference_schema(MetricRecord.__name__))
    entry = _record(
        BaselineEntry,
        metrics=metrics,
        pooled=metrics,
        composition=s.dict_schema(text, _composition()),
        outcomes=s.dict_schema(text, s.definition_reference_schema(_JSON)),
        traffic=s.literal_schema(["live", "replay", "scripted"]),
        sources=s.dict_schema(text, text),
        models=s.tuple_variable_schema(text),
        providers=s.tuple_variable_schema(text),
    )
    document = s.typed_dict_schema(
        {
            "format": s.typed_dict_field(s.int_schema(strict=True, ge=FORMAT, le=FORMAT), required=True),
            "tests": s.typed_dict_field(s.dict_schema(text, entry), required=True),
        },
        extra_behavior="forbid",
    )
    return s.definitions_schema(document, [_metric(), _json()])


def _record(cls: type, **fields: Any) -> Any:
    """A record of ours, built by the validator itself: every field is a key, every key a field."""
    from pydantic_core import core_schema as s

    arguments = s.dataclass_args_schema(
        cls.__name__,
        [s.dataclass_field(name, schema, kw_only=True) for name, schema in fields.items()],
        extra_behavior="forbid",
    )
    return s.dataclass_schema(cls, arguments, list(fields), slots=True, ref=cls.__name__)


def _number() -> Any:
    from pydantic_core import core_schema as s

    return s.union_schema(
        [s.int_schema(strict=True), s.float_schema(strict=True, allow_inf_nan=False)],
        mode="left_to_right",
        custom_error_type="number",
        custom_error_message="Input should be a finite number",
    )


def _metric() -> Any:
    from pydantic_core import core_schema as s

    session = s.tuple_variable_schema(_number(), min_length=1)
    return _record(
        MetricRecord, sessions=s.tuple_variable_schema(session, min_length=1), origin=s.nullable_schema(_number())
    )


def _composition() -> Any:
    from pydantic_core import core_schema as s

    text, integer = s.str_schema(strict=True), s.int_schema(strict=True)
    part = _record(
        PartTotal,
        part=s.literal_schema(list(PART_NAMES)),
        name=text,
        tokens=integer,
        calls=integer,
        distinct=integer,
        largest=integer,
        digest=text,
        repeated_tokens=integer,
    )
    return _record(
        StageComposition,
        calls=integer,
        parts=s.tuple_variable_schema(part),
        input_tokens=integer,
        fresh_input_tokens=integer,
        output_tokens=s.nullable_schema(integer),
        reasoning_tokens=s.nullable_schema(integer),
        history_growth=s.nullable_schema(_number()),
        attempts=integer,
        models=s.tuple_variable_schema(text),
        prefix=s.tuple_variable_schema(s.tuple_positional_schema([text, text])),
        estimated=s.bool_schema(strict=True),
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
            _number(),
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
    """The ``pydantic_core.SchemaValidator`` of a file: ``validate_json(bytes)`` gives ``format`` and ``tests``."""
    from pydantic_core import SchemaValidator

    return SchemaValidator(core_schema())


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a baseline file: what ``tokenbudget schema baseline`` prints."""
    from pydantic.json_schema import GenerateJsonSchema

    generated = GenerateJsonSchema().generate(core_schema(), mode="validation")
    generated["properties"]["format"] = {"const": FORMAT, "title": "Format"}
    for definition in generated["$defs"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    return {
        **generated,
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "pytest-tokenbudget baseline",
        "description": "Stored measurements of the tests of one file.",
    }
