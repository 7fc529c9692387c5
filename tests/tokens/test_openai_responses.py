"""The Responses API: items, stored calls, encrypted reasoning, added tools."""

import pytest
from wire_prompts import prompt_for

from pytest_tokenbudget.records.prompt import Message, OutputSchema, Prompt, Reasoning, Text, Tool, ToolCall, ToolResult


def tokens(counter, prompt):
    return counter.count_prompt(prompt, provider="openai").tokens


def test_instructions_and_a_string_count_as_two_messages(counter, chat):
    """A string input is a user's message, ``instructions`` a system message."""
    body = {"model": "gpt-4o", "instructions": "Be kind.", "input": "Hello there"}
    prompt = prompt_for("openai.responses", body)
    assert tokens(counter, prompt) == tokens(counter, chat(("system", "Be kind."), ("user", "Hello there")))


def test_a_call_that_the_server_stored_costs_three_tokens_more(counter):
    """An item with an id of its own is replaced by what the server kept, which names the arguments' format."""
    body = {
        "model": "gpt-4o",
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        ],
    }
    without = tokens(counter, prompt_for("openai.responses", body))
    body["input"][1]["id"] = "fc_1"
    assert tokens(counter, prompt_for("openai.responses", body)) == without + 3


def test_the_only_tool_is_forced_by_its_name_where_a_call_is_required(counter, weather_tool):
    """``required`` costs as much as the tool's name where there is one tool, and nothing where there are two."""
    user = (Message("user", (Text("hi"),), None, "user"),)
    other = Tool("look", "Looks.", {"type": "object", "properties": {}})

    def count(choice, *tools):
        return tokens(counter, Prompt("openai.responses", "gpt-4.1", user, tools, tool_choice=choice))

    assert count("required", weather_tool) == count("get_current_weather", weather_tool) > count("auto", weather_tool)
    assert count("required", weather_tool, other) == count("auto", weather_tool, other)


@pytest.mark.parametrize(
    ("model", "one", "two"), [("gpt-4o", 9, 18), ("o4-mini", 15, 30), ("gpt-5", 15, 30), ("gpt-5.4", 18, 46)]
)
def test_headers_of_calls_depend_on_the_models_generation(counter, model, one, two):
    """Tokens beside names, arguments and results."""

    def count(calls):
        items = [Message("assistant", (ToolCall("look", "{}", str(n)),), None, "function_call") for n in range(calls)]
        items += [
            Message("tool", (ToolResult((Text("cat"),), "look", str(n)),), None, "function_call_output")
            for n in range(calls)
        ]
        return tokens(counter, Prompt("openai.responses", model, tuple(items)))

    def text(value):
        return counter.count_text(value, provider="openai", model=model).tokens

    own = 2 * text("functions.look") + text("{}") + text("cat")
    assert (count(1) - count(0) - own, count(2) - count(0) - 2 * own) == (one, two)


def test_parallel_calls_are_items_of_one_turn(counter):
    """Two calls and two results cost twice one call and its result."""
    user = Message("user", (Text("hi"),), None, "user")

    def prompt(calls):
        items = [Message("assistant", (ToolCall("look", "{}", str(n)),), None, "function_call") for n in range(calls)]
        items += [
            Message("tool", (ToolResult((Text("cat"),), "look", str(n)),), None, "function_call_output")
            for n in range(calls)
        ]
        return Prompt("openai.responses", "gpt-4o", (user, *items))

    one, two = (
        tokens(counter, prompt(1)) - tokens(counter, prompt(0)),
        tokens(counter, prompt(2)) - tokens(counter, prompt(0)),
    )
    assert two == 2 * one


def test_encrypted_reasoning_is_an_estimate_and_counts_in_its_own_turn_only(counter):
    """What precedes the user's last message is dropped before the model reads it."""

    def prompt(*items):
        return Prompt("openai.responses", "gpt-5", tuple(items), opaque_reasoning=True)

    asked = Message("user", (Text("hi"),), None, "user")
    sealed = Message("assistant", (Reasoning(opaque=True, size=5_000),), None, "reasoning")
    plain = tokens(counter, prompt(asked))
    assert tokens(counter, prompt(asked, sealed)) > plain + 300
    assert tokens(counter, prompt(sealed, asked)) == plain
    assert counter.count_prompt(prompt(asked, sealed), provider="openai").estimated


def test_reasoning_models_read_the_schema_without_a_separator(counter):
    """A structured output costs its section, and one token more where the model is no reasoning model."""
    schema = OutputSchema("S", None, {"type": "object", "properties": {"a": {"type": "string"}}})
    user = (Message("user", (Text("hi"),), None, "user"),)
    extra = {}
    for model in ("gpt-4o", "gpt-5"):
        plain = tokens(counter, Prompt("openai.responses", model, user))
        extra[model] = tokens(counter, Prompt("openai.responses", model, user, output_schema=schema)) - plain
    assert extra["gpt-4o"] == extra["gpt-5"] + 1


def test_tools_that_are_added_later_have_a_section_of_their_own(counter):
    """Their preamble costs more than that of the tools the request begins with."""
    tool = Tool("look", "Looks.", {"type": "object", "properties": {}})
    added = Tool("look", "Looks.", {"type": "object", "properties": {}}, kind="additional_tools")
    user = (Message("user", (Text("hi"),), None, "user"),)
    first = Prompt("openai.responses", "gpt-5.4", user, (tool,))
    later = Prompt("openai.responses", "gpt-5.4", user, (added,))
    assert tokens(counter, later) - tokens(counter, first) == 82
    assert not counter.count_prompt(later, provider="openai").estimated


@pytest.mark.parametrize(
    ("reasoning", "estimated"), [({"effort": "low"}, False), ({"mode": "pro"}, True), ("x", False)]
)
def test_a_mode_of_reasoning_with_a_prompt_of_its_own_makes_the_count_an_estimate(counter, reasoning, estimated):
    """What the mode adds is not public; the effort adds nothing."""
    prompt = prompt_for("openai.responses", {"model": "gpt-5.6", "input": "hi", "reasoning": reasoning})
    assert counter.count_prompt(prompt, provider="openai").estimated is estimated


def test_models_to_come_are_taken_for_reasoning_models(counter):
    """A GPT-6 reads its prompts as the later GPT-5 do."""
    body = {"input": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    later, now, before = (
        tokens(counter, prompt_for("openai.responses", {"model": model, **body}))
        for model in ("gpt-6", "gpt-5.6", "gpt-4o")
    )
    assert later == now != before
