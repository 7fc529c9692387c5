"""Function tools as TypeScript types, text by text."""

import pytest

from pytest_tokenbudget.records.prompt import Tool
from pytest_tokenbudget.tokens.typescript import Dialect, tool_type

CHAT, RESPONSES = Dialect(unions_explained=True), Dialect()


def shown(properties, dialect=RESPONSES, required=(), **schema):
    schema = {"type": "object", "properties": properties, "required": list(required), **schema}
    return tool_type(Tool("f", None, schema), dialect)


def test_a_tool_without_arguments_takes_none():
    """No properties, no parameter."""
    assert tool_type(Tool("now", "Tells the time.\n\n  In UTC."), RESPONSES) == (
        "// Tells the time.\n// In UTC.\ntype now = () => any"
    )


def test_properties_without_comments_stand_on_one_line():
    """Optional ones have a question mark, integers are numbers."""
    properties = {
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "c": {"type": "array", "items": {"type": "number"}},
    }
    assert shown(properties, required=["a"]) == "type f = (_: { a: string, b?: number, c?: number[] }) => any"


def test_a_comment_or_default_gives_each_property_a_line():
    """The comment stands above, the default behind."""
    properties = {"a": {"type": "string", "description": "First."}, "b": {"type": "string", "default": "x"}}
    assert shown(properties) == 'type f = (_: {\n// First.\na?: string,\nb?: string, // default: "x"\n}) => any'


def test_a_title_is_set_off_from_its_description():
    """The parameters' own title stands before the brace."""
    properties = {"a": {"type": "string", "title": "A", "description": "One.\nTwo."}}
    assert shown(properties, title="Arguments") == (
        "type f = (_: // Arguments\n{\n// A\n//\n// One.\n// Two.\na?: string,\n}) => any"
    )


def test_enums_constants_and_unions_are_joined_by_bars():
    """References are resolved within the schema."""
    properties = {
        "e": {"enum": ["x", 1]},
        "k": {"const": True},
        "u": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "r": {"$ref": "#/$defs/R"},
    }
    text = shown(properties, **{"$defs": {"R": {"type": "object", "properties": {"z": {"type": "boolean"}}}}})
    assert text == 'type f = (_: { e?: "x" | 1, k?: true, u?: string | null, r?: { z?: boolean } }) => any'


def test_an_array_of_commented_objects_is_written_out():
    """Objects with comments stand in ``Array<...>`` behind their title, others in brackets."""
    item = {"type": "object", "title": "Step", "properties": {"n": {"type": "integer", "description": "Number."}}}
    assert shown({"s": {"type": "array", "items": item}}) == (
        "type f = (_: { s?: Array<\n// Step\n{\n// Number.\nn?: number,\n}\n> }) => any"
    )


def test_chat_completions_explain_each_variant_of_a_described_union():
    """A list of types repeats its description at each; a variant's format stands behind it."""
    union = {"type": ["string", "null"], "description": "A name."}
    assert shown({"a": union}, CHAT) == (
        "type f = (_: {\n// A name.\na?:\n// A name.\n | string\n// A name.\n | null\n,\n}) => any"
    )
    dated = {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}
    assert shown({"d": dated}, CHAT) == 'type f = (_: { d?:\n | string // format: "date"\n | null\n }) => any'
    assert shown({"a": union}) == "type f = (_: {\n// A name.\na?: string | null,\n}) => any"


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": "no"},
        {"type": "object", "properties": {"a": None, "b": 3, "c": {"enum": 1, "anyOf": {}, "required": "x"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": [[1]]},
        {"type": "object", "properties": {"a": {"type": {"odd": 1}, "items": [1]}, "b": {"type": ["array", 3]}}},
    ],
)
def test_a_malformed_schema_is_shown_somehow(parameters):
    """Nothing that a client sends as a schema raises."""
    assert tool_type(Tool("f", None, parameters), CHAT).endswith("=> any")


def test_a_recursive_schema_ends():
    """A tree of itself is cut, not followed for ever."""
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert "any" in tool_type(Tool("f", None, tree), RESPONSES)
