"""Chat completions against numbers that OpenAI itself published, and the rules for tools one by one."""

import json

import pytest

from pytest_tokenbudget.records.prompt import Message, OutputSchema, Prompt, Text, Tool, ToolCall, ToolResult
from pytest_tokenbudget.tokens.counter import Counter

JARGON = (
    (
        "system",
        None,
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    ),
    ("system", "example_user", "New synergies will help drive top-line growth."),
    ("system", "example_assistant", "Things working well together will increase revenue."),
    (
        "system",
        "example_user",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    ("system", "example_assistant", "Let's talk later when we're less busy about how to do better."),
    (
        "user",
        None,
        "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    ),
)
"""The example of OpenAI's cookbook, "How to count tokens with tiktoken", whose counts it prints."""


@pytest.mark.parametrize(("model", "tokens"), [("gpt-3.5-turbo", 129), ("gpt-4-0613", 129), ("gpt-4o", 124)])
def test_the_cookbooks_messages_with_names_count_as_it_says(counter, model, tokens):
    """129 with cl100k_base, 124 with o200k_base."""
    messages = tuple(Message(role, (Text(text),), name, role) for role, name, text in JARGON)
    count = counter.count_prompt(Prompt("openai.chat", model, messages), provider="openai")
    assert (count.tokens, count.estimated) == (tokens, False)


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)]
)
def test_the_cookbooks_tool_counts_as_it_says(counter, chat, weather_tool, model, tokens):
    """105 with cl100k_base, 101 with o200k_base, namespace and descriptions included."""
    prompt = chat(
        ("system", "You are a helpful assistant that can answer to questions about the weather."),
        ("user", "What's the weather like in San Francisco?"),
        model=model,
        tools=(weather_tool,),
    )
    assert counter.count_prompt(prompt, provider="openai").tokens == tokens


def test_a_tool_call_and_its_result_cost_their_texts_and_twelve_tokens(counter, chat):
    """The name stands in both headers, the arguments as compact JSON whatever the spaces on the wire."""
    before = chat(("user", "hi"))
    call = Message("assistant", (ToolCall("get_weather", '{"city":  "Bonn"}', "1"),), None, "assistant")
    result = Message("tool", (ToolResult((Text("sunny"),), "get_weather", "1"),), None, "tool")
    after = Prompt("openai.chat", "gpt-4o", (*before.messages, call, result))

    def text(value):
        return counter.count_text(value, provider="openai", model="gpt-4o").tokens

    names = text("get_weather") + text("functions.get_weather")
    own = names + text('{"city":"Bonn"}') + text("sunny")
    grown = (
        counter.count_prompt(after, provider="openai").tokens - counter.count_prompt(before, provider="openai").tokens
    )
    assert grown == own + 12


def test_parallel_calls_are_one_call_whose_results_are_json(counter):
    """A result costs its quotes and escapes where calls were parallel, and its text where one was made alone."""

    def prompt(result, *names):
        calls = tuple(ToolCall(name, "{}", str(at)) for at, name in enumerate(names))
        results = tuple(
            Message("tool", (ToolResult((Text(result),), name, str(at)),), None, "tool")
            for at, name in enumerate(names)
        )
        return Prompt("openai.chat", "gpt-4o-mini", (Message("assistant", calls, None, "assistant"), *results))

    def difference(*names):
        plain = counter.count_prompt(prompt("sun", *names), provider="openai").tokens
        return counter.count_prompt(prompt('sun "🌞"', *names), provider="openai").tokens - plain

    def text(value):
        return counter.count_text(value, provider="openai", model="gpt-4o-mini").tokens

    def array(value):
        return text(json.dumps([value, value], ensure_ascii=False))

    assert difference("look") == text('sun "🌞"') - text("sun")
    assert difference("look", "look") == array('sun "🌞"') - array("sun") != 2 * difference("look")


def test_pieces_of_parallel_results_count_as_the_whole_array(counter):
    """Cutting the array between the results changes no count, whatever the results end with."""
    texts = ['a "quoted" end."', "plain", "[1, 2]", "ends with space ", "—", "(", '{"a": "b"}']
    calls = tuple(ToolCall("f", "{}", str(at)) for at in range(len(texts)))
    results = tuple(
        Message("tool", (ToolResult((Text(text),), "f", str(at)),), None, "tool") for at, text in enumerate(texts)
    )
    prompt = Prompt("openai.chat", "gpt-4o-mini", (Message("assistant", calls, None, "assistant"), *results))
    none = Prompt("openai.chat", "gpt-4o-mini", (Message("assistant", calls, None, "assistant"),))
    shown = [json.loads(text) if text[0] in "[{" else text for text in texts]
    whole = json.dumps(shown, ensure_ascii=False)
    array = counter.count_text(whole, provider="openai", model="gpt-4o-mini").tokens
    grown = (
        counter.count_prompt(prompt, provider="openai").tokens - counter.count_prompt(none, provider="openai").tokens
    )
    assert grown == array


def test_the_schema_of_a_structured_output_is_counted_with_its_name_in_each_answers_header(counter, chat):
    """One more answer in the history costs its message, its text and two tokens and the schema's name."""
    schema = OutputSchema(
        "Verdict", None, {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    )

    def tokens(*messages):
        return counter.count_prompt(chat(*messages, output_schema=schema), provider="openai").tokens

    without = counter.count_prompt(chat(("user", "a"), ("assistant", "b"), ("user", "c")), provider="openai").tokens
    plain = counter.count_prompt(chat(("user", "a")), provider="openai").tokens
    name = counter.count_text("Verdict", provider="openai", model="gpt-4o").tokens
    extra_answer = tokens(("user", "a"), ("assistant", "b"), ("user", "c")) - tokens(("user", "a")) - (without - plain)
    assert extra_answer == 2 + name


def test_a_reasoning_models_answers_cost_four_tokens_whatever_the_schemas_name(counter, chat):
    """The channel's header says that JSON follows and does not name the schema."""

    def tokens(name, model):
        schema = OutputSchema(name, None, {"type": "object", "properties": {"ok": {"type": "boolean"}}})
        prompt = chat(("user", "a"), ("assistant", "b"), ("user", "c"), model=model, output_schema=schema)
        return counter.count_prompt(prompt, provider="openai").tokens

    def text(name):
        return counter.count_text(f"## {name}", provider="openai", model="gpt-5").tokens

    long, short = "a_long_name_of_a_schema", "S"
    assert tokens(long, "gpt-5") - tokens(short, "gpt-5") == text(long) - text(short)
    assert tokens(long, "gpt-4o") - tokens(short, "gpt-4o") > text(long) - text(short)


def test_the_schemas_own_dialect_is_not_shown(counter, chat):
    """``$schema`` costs nothing in a structured output."""
    bare = {"type": "object", "properties": {"n": {"type": "integer"}}}
    named = {"$schema": "https://json-schema.org/builder/2020-12/schema", **bare}
    counts = [
        counter.count_prompt(chat(("user", "a"), output_schema=OutputSchema("S", None, schema)), provider="openai")
        for schema in (bare, named)
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("ending", "joined"), [("Be kind", 1), ("Be kind.", 0)])
def test_tools_of_gpt_5_follow_the_instructions_after_a_blank_line(counter, chat, weather_tool, ending, joined):
    """The blank line melts into a full stop, so that it costs a token less there."""

    def added_by_tools(*messages):
        with_tools, without = (
            counter.count_prompt(chat(*messages, ("user", "hi"), model="gpt-5", tools=tools), provider="openai").tokens
            for tools in ((weather_tool,), ())
        )
        return with_tools - without

    assert added_by_tools(("system", ending)) - added_by_tools() == joined - 1


def test_keywords_that_the_decoder_enforces_cost_nothing_in_a_structured_output(counter, chat):
    """Limits and ``additionalProperties`` are not shown to the model, a property of such a name is."""

    def tokens(schema):
        return counter.count_prompt(
            chat(("user", "a"), output_schema=OutputSchema("S", None, schema)), provider="openai"
        ).tokens

    bare = {"type": "object", "properties": {"n": {"type": "integer"}}}
    strict = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["n"],
        "additionalProperties": False,
    }
    named = {"type": "object", "properties": {"maximum": {"type": "integer"}, "n": {"type": "integer"}}}
    assert tokens(strict) == tokens(bare) < tokens(named)


def test_a_forced_tool_costs_its_name(counter, chat, weather_tool):
    """Naming the tool that must be called adds seven tokens and its name, asking for any adds none."""
    free = counter.count_prompt(chat(("user", "hi"), tools=(weather_tool,)), provider="openai").tokens
    forced = chat(("user", "hi"), tools=(weather_tool,), tool_choice="get_current_weather")
    name = counter.count_text("get_current_weather", provider="openai", model="gpt-4o").tokens
    assert counter.count_prompt(forced, provider="openai").tokens == free + 7 + name
    required = chat(("user", "hi"), tools=(weather_tool,), tool_choice="required")
    assert counter.count_prompt(required, provider="openai").tokens == free


def test_tools_are_pieces_with_their_names_and_stay_the_same_beside_others(counter, chat, weather_tool):
    """A tool's digest does not depend on its place among the tools or on the system prompt."""
    other = Tool("now", "Tells the time.", {"type": "object", "properties": {}})
    alone = counter.compose(chat(("user", "hi"), tools=(weather_tool,)), provider="openai", input_tokens=None)
    prompt = chat(("system", "Be kind."), ("user", "hi"), tools=(other, weather_tool))
    both = counter.compose(prompt, provider="openai", input_tokens=None)

    def digest(composition):
        return next(piece.digest for piece in composition.pieces if piece.name == "get_current_weather")

    assert digest(alone) == digest(both)
    assert [piece.name for piece in both.pieces if piece.part == "tools"] == ["now", "get_current_weather"]


def test_a_tool_that_openai_runs_itself_makes_the_count_an_estimate(counter, chat):
    """What a built-in tool shows to the model is not public."""
    search = Tool("web_search", definition={"type": "web_search"}, kind="web_search")
    assert counter.count_prompt(chat(("user", "hi"), tools=(search,)), provider="openai").estimated


def test_one_counter_counts_alike_however_often_it_is_asked():
    """What was counted before changes no count."""
    once = Counter()
    prompt = Prompt("openai.chat", "gpt-4o", (Message("user", (Text("hello"),), None, "user"),))
    first = once.count_prompt(prompt, provider="openai")
    once.compose(prompt, provider="openai", input_tokens=900)
    assert once.count_prompt(prompt, provider="openai") == first
