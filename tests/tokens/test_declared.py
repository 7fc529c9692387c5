"""Tools counted by the words of their declaration."""

from pytest_tokenbudget.records.prompt import Message, Prompt, Text, Tool
from pytest_tokenbudget.tokens.profiles import declaration

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where\nit is"},
        "when": {"type": "object", "properties": {"day": {"type": "string", "enum": ["today", "tomorrow"]}}},
        "tags": {"type": "array", "items": {"type": "string", "format": "slug"}},
    },
    "required": ["city"],
}


def test_a_declaration_has_a_line_of_words_for_the_tool_and_for_each_parameter():
    """Names, descriptions, formats, values and required names; no types, no punctuation of JSON."""
    lines = declaration(Tool("weather", "Tells the\nweather.", SCHEMA)).split("\n")
    assert lines[0] == "weather Tells the weather. city"
    assert sorted(lines[1:]) == ["city Where it is", "day today tomorrow", "tags slug", "when"]


def test_a_schema_that_is_no_schema_has_no_words():
    """What a client sends in its place costs its name."""
    assert declaration(Tool("f", None, {"properties": [1], "required": "x", "enum": 3})) == "f"


def test_a_recursive_schema_ends():
    """A schema that holds itself is looked into for some levels."""
    schema = {"description": "again"}
    schema["properties"] = {"inner": schema}
    assert declaration(Tool("f", None, schema)).count("inner") < 40


def test_the_json_around_a_declaration_costs_gemini_nothing(counter):
    """The same words in more JSON count alike, another parameter counts more."""

    def tokens(parameters):
        tool = Tool("look", "Looks.", parameters, {"function": {"name": "look", "parameters": parameters}})
        user = Message("user", (Text("hi"),), None, "user")
        prompt = Prompt("google.generate_content", "gemini-2.5-flash", (user,), (tool,))
        return counter.count_prompt(prompt, provider="gcp.vertex_ai").tokens

    one = {"properties": {"city": {"type": "string"}}}
    wordy = {"type": "object", "additionalProperties": False, **one}
    two = {"properties": {"city": {"type": "string"}, "date": {"type": "string"}}}
    assert tokens(one) == tokens(wordy) < tokens(two)
