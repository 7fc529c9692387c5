"""Real SDKs accept what a scripted model answers, plain and streamed."""

from __future__ import annotations

import json

import pytest

from pytest_tokenbudget.replay.script import ScriptedModel, cut, error, parallel, text, timeout, tool_call

openai = pytest.importorskip("openai", reason="the openai SDK is not installed")

WEATHER = parallel(
    tool_call("weather", city="Rome"),
    tool_call("weather", city="Oslo"),
    reasoning="Both at once.",
    usage=(120, 30, 100, 0, 8),
)
USER = [{"role": "user", "content": "How is the weather in Rome and Oslo?"}]
LONG = "It is sunny in Rome, and it snows in Oslo. Take a coat."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.fixture
def client():
    with openai.OpenAI(api_key="unused", base_url="https://api.openai.com/v1", max_retries=0) as client:
        yield client


def test_openai_chat_plain(client, played):
    """Parallel tool calls, reasoning and usage arrive through the SDK; then text."""
    played(ScriptedModel([WEATHER, text(LONG, usage=(200, 20))]))
    first = client.chat.completions.create(model="gpt-4o", messages=USER)
    calls = first.choices[0].message.tool_calls
    assert [(c.function.name, json.loads(c.function.arguments)) for c in calls] == [
        ("weather", {"city": "Rome"}),
        ("weather", {"city": "Oslo"}),
    ]
    assert len({call.id for call in calls}) == 2
    assert (first.usage.prompt_tokens, first.usage.prompt_tokens_details.cached_tokens) == (120, 100)
    assert first.usage.completion_tokens_details.reasoning_tokens == 8
    assert first.choices[0].finish_reason == "tool_calls"
    assert client.chat.completions.create(model="gpt-4o", messages=USER).choices[0].message.content == LONG


def test_openai_chat_streamed(client, played):
    """A stream carries pieces, tool calls and, where asked for, usage."""
    played(ScriptedModel([text(LONG, usage=(200, 20)), WEATHER]))
    stream = client.chat.completions.create(
        model="gpt-4o", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == LONG
    assert sum(bool(piece) for piece in pieces) > 2
    assert chunks[-1].usage.total_tokens == 220
    with client.chat.completions.stream(model="gpt-4o", messages=USER) as stream:
        final = stream.get_final_completion()
    assert [json.loads(c.function.arguments)["city"] for c in final.choices[0].message.tool_calls] == ["Rome", "Oslo"]


def test_openai_responses(client, played):
    """The Responses API, plain and streamed, has text, reasoning and function calls."""
    played(ScriptedModel([WEATHER, text(LONG, reasoning="Hm.", usage=(200, 20, 50, 0, 5)), WEATHER]))
    first = client.responses.create(model="gpt-5", input="weather?")
    assert [item.type for item in first.output] == ["reasoning", "function_call", "function_call"]
    assert first.usage.input_tokens_details.cached_tokens == 100
    with client.responses.stream(model="gpt-5", input="weather?") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == LONG
    assert kinds.count("response.output_text.delta") > 2
    assert final.usage.output_tokens_details.reasoning_tokens == 5
    with client.responses.stream(model="gpt-5", input="weather?") as stream:
        final = stream.get_final_response()
    assert [json.loads(item.arguments)["city"] for item in final.output if item.type == "function_call"] == [
        "Rome",
        "Oslo",
    ]


async def _anthropic_stream(client):
    async with client.messages.stream(model="claude", max_tokens=99, messages=USER) as stream:
        return await stream.get_final_message()


@pytest.mark.asyncio
async def test_anthropic_messages(played):
    """Anthropic's SDK, plain and streamed, sees thinking, tool use and its own way of counting."""
    anthropic = pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")
    played(ScriptedModel([WEATHER, text(LONG, reasoning="Hm.", usage=(200, 20, 50, 30)), WEATHER]))
    client = anthropic.AsyncAnthropic(api_key="unused", max_retries=0)
    first = await client.messages.create(model="claude", max_tokens=99, messages=USER)
    assert [block.type for block in first.content] == ["thinking", "tool_use", "tool_use"]
    assert (first.usage.input_tokens, first.usage.cache_read_input_tokens) == (20, 100)
    final = await _anthropic_stream(client)
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[1].text == LONG
    assert (final.usage.input_tokens, final.usage.cache_creation_input_tokens, final.usage.output_tokens) == (
        120,
        30,
        20,
    )
    assert [b.input["city"] for b in (await _anthropic_stream(client)).content if b.type == "tool_use"] == [
        "Rome",
        "Oslo",
    ]
    await client.close()


def test_google_generate(played):
    """Google's SDK, plain and streamed, sees text, function calls and usage."""
    genai = pytest.importorskip("google.genai", reason="google-genai is not installed")
    played(ScriptedModel([WEATHER, text(LONG, usage=(200, 20))]))
    client = genai.Client(api_key="unused")
    first = client.models.generate_content(model="gemini-2.5-flash", contents="weather?")
    assert [call.args["city"] for call in first.function_calls] == ["Rome", "Oslo"]
    assert first.usage_metadata.thoughts_token_count == 8
    stream = client.models.generate_content_stream(model="gemini-2.5-flash", contents="weather?")
    chunks = list(stream)
    assert "".join(chunk.text for chunk in chunks) == LONG
    assert len(chunks) > 2
    assert chunks[-1].usage_metadata.prompt_token_count == 200
    client.close()


def test_failures_are_the_sdks_own_exceptions(client, played):
    """429, 500, a timeout and a cut stream raise what they would raise in production."""
    played(ScriptedModel([error(429, retry_after=2), error(500), timeout(), cut(text(LONG), after_chunks=2)]))
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="gpt-4o", messages=USER)
    assert limited.value.response.headers["retry-after"] == "2"
    with pytest.raises(openai.InternalServerError, match="scripted error 500"):
        client.chat.completions.create(model="gpt-4o", messages=USER)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="gpt-4o", messages=USER)
    stream = client.chat.completions.create(model="gpt-4o", messages=USER, stream=True)
    seen = []
    with pytest.raises(Exception, match=r"peer closed connection|Connection error"):
        seen.extend(stream)
    assert len(seen) == 2
