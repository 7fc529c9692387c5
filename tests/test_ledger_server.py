"""The loopback server is itself held against the real SDKs: what it books is what they read."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from ledger_server import Asked, LedgerServer, Reply, ToolCall
from ledger_server.sse import aws

ASK = [{"role": "user", "content": "hello"}]


@pytest.fixture
def openai_client(llm_server: LedgerServer) -> Any:
    openai = pytest.importorskip("openai", reason="speaks to the server through the openai SDK")
    with openai.OpenAI(base_url=llm_server.url + "/v1", api_key="none", max_retries=2) as client:
        yield client


def test_chat_usage_equals_the_books(llm_server: LedgerServer, openai_client: Any) -> None:
    """The SDK reads the numbers that the server wrote down, tool call included."""
    llm_server.play([Reply("", (ToolCall("add", {"a": 1}),), input_tokens=50, output_tokens=7, cached=20)])
    answer = openai_client.chat.completions.create(model="m", messages=ASK)
    (entry,) = llm_server.ledger
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (50, 7)
    assert (entry.input_tokens, entry.output_tokens, entry.cached, entry.tool_calls) == (50, 7, 20, ("add",))
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"a": 1}'


@pytest.mark.parametrize("include_usage", [True, False])
def test_streamed_chat_tells_usage_only_when_asked(
    llm_server: LedgerServer, openai_client: Any, include_usage: bool
) -> None:
    """``told`` follows ``stream_options.include_usage``."""
    llm_server.play([Reply("one two three four", input_tokens=9, output_tokens=4)])
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = list(openai_client.chat.completions.create(model="m", messages=ASK, stream=True, **options))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three four"
    assert [c.usage.total_tokens for c in chunks if c.usage] == ([13] if include_usage else [])
    assert llm_server.ledger[0].told is include_usage
    assert llm_server.ledger.total("input_tokens") == (9 if include_usage else 0)


def test_an_error_then_success_is_two_entries(llm_server: LedgerServer, openai_client: Any) -> None:
    """A 429 with Retry-After is retried by the SDK and stands in the books with no tokens."""
    llm_server.play([Reply(status=429, retry_after=0.01), Reply("fine", input_tokens=3, output_tokens=1)])
    assert openai_client.chat.completions.create(model="m", messages=ASK).choices[0].message.content == "fine"
    assert [(e.status, e.input_tokens) for e in llm_server.ledger] == [(429, 0), (200, 3)]
    assert (llm_server.ledger.calls, llm_server.ledger.attempts) == (1, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_responses_and_embeddings(llm_server: LedgerServer, openai_client: Any, stream: bool) -> None:
    """The Responses wire is what the SDK's own parser accepts, reasoning and tools included."""
    reply = Reply("hi there", (ToolCall("f"),), reasoning="hm", input_tokens=8, output_tokens=6, reasoning_tokens=2)
    llm_server.play([reply, Reply(input_tokens=5)])
    if stream:
        events = list(openai_client.responses.create(model="m", input="x", stream=True))
        answer = next(e.response for e in events if e.type == "response.completed")
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "hi there"
    else:
        answer = openai_client.responses.create(model="m", input="x")
    assert answer.output_text == "hi there"
    assert (answer.usage.input_tokens, answer.usage.output_tokens_details.reasoning_tokens) == (8, 2)
    vectors = openai_client.embeddings.create(model="e", input=["a", "b"])
    assert (len(vectors.data), vectors.usage.total_tokens) == (2, 5)
    assert [(e.api, e.output_tokens) for e in llm_server.ledger] == [("openai.responses", 6), ("openai.embeddings", 0)]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_input_leaves_the_cache_out(llm_server: LedgerServer, stream: bool) -> None:
    """The wire's input plus both cache numbers is the books' input."""
    anthropic = pytest.importorskip("anthropic", reason="speaks to the server through the anthropic SDK")
    llm_server.play(
        [Reply("hi", (ToolCall("t", {"x": 1}),), input_tokens=100, output_tokens=5, cached=60, cache_write=30)]
    )
    with anthropic.Anthropic(base_url=llm_server.url, api_key="none") as client:
        ask = {"model": "claude-x", "max_tokens": 9, "messages": ASK}
        if stream:
            with client.messages.stream(**ask) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**ask)
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 60, 30)
    assert (answer.content[1].input, usage.output_tokens) == ({"x": 1}, 5)
    assert llm_server.ledger[0].input_tokens == 100


def test_google(llm_server: LedgerServer) -> None:
    """Plain and streamed generateContent, thoughts beside the candidates."""
    genai = pytest.importorskip("google.genai", reason="speaks to the server through google-genai")
    llm_server.play([Reply("hi", input_tokens=10, output_tokens=7, reasoning_tokens=4)] * 2)
    with genai.Client(api_key="none", http_options={"base_url": llm_server.url}) as client:
        plain = client.models.generate_content(model="gemini-x", contents="hello")
        last = list(client.models.generate_content_stream(model="gemini-x", contents="hello"))[-1]
    for usage in (plain.usage_metadata, last.usage_metadata):
        assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (10, 3, 4)
    assert [(e.model, e.stream) for e in llm_server.ledger] == [("gemini-x", False), ("gemini-x", True)]


def test_bedrock_converse(llm_server: LedgerServer) -> None:
    """Plain and event-stream Converse, with CRCs that botocore accepts."""
    boto3 = pytest.importorskip("boto3", reason="speaks to the server through boto3")
    client = boto3.client(
        "bedrock-runtime", "us-east-1", endpoint_url=llm_server.url, aws_access_key_id="a", aws_secret_access_key="b"
    )
    llm_server.play([Reply("hi", (ToolCall("t", {"x": 1}),), input_tokens=10, output_tokens=7, cached=4)] * 2)
    ask = {"modelId": "anthropic.x-v1:0", "messages": [{"role": "user", "content": [{"text": "hello"}]}]}
    plain = client.converse(**ask)
    events = list(client.converse_stream(**ask)["stream"])
    client.close()
    for usage in (plain["usage"], events[-1]["metadata"]["usage"]):
        assert (usage["inputTokens"], usage["cacheReadInputTokens"], usage["totalTokens"]) == (6, 4, 17)
    assert {e.model for e in llm_server.ledger} == {"anthropic.x-v1:0"}


def test_cohere(llm_server: LedgerServer) -> None:
    """Plain and streamed chat of version 2."""
    cohere = pytest.importorskip("cohere", reason="speaks to the server through the cohere SDK")
    llm_server.play([Reply("hi there", input_tokens=10, output_tokens=7)] * 2)
    httpx = pytest.importorskip("httpx", reason="what the cohere SDK sends through")
    with httpx.Client() as sender:
        client = cohere.ClientV2(api_key="none", base_url=llm_server.url, httpx_client=sender)
        plain = client.chat(model="command", messages=ASK)
        last = list(client.chat_stream(model="command", messages=ASK))[-1]
    assert plain.usage.tokens.input_tokens == last.delta.usage.tokens.input_tokens == 10


def test_ollama(llm_server: LedgerServer) -> None:
    """Plain and streamed chat, which streams unless told not to."""
    ollama = pytest.importorskip("ollama", reason="speaks to the server through the ollama SDK")
    llm_server.play([Reply("hi there", input_tokens=10, output_tokens=7)] * 2)
    with ollama.Client(host=llm_server.url) as client:
        plain = client.chat(model="llama", messages=ASK)
        parts = list(client.chat(model="llama", messages=ASK, stream=True))
    assert plain.prompt_eval_count == parts[-1].prompt_eval_count == 10
    assert "".join(part.message.content for part in parts) == "hi there"


def _post(server: LedgerServer, *bodies: bytes) -> bytes:
    """Send raw requests over one connection and read until the server has answered the last and closed."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        for body in bodies:
            head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            sock.sendall(head + body)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    return received


def test_faults_break_the_connection(llm_server: LedgerServer) -> None:
    """``cut`` ends a stream without its terminator after keep-alive answers on the same connection; nothing hangs."""
    llm_server.play([Reply("first"), Reply("second" * 20, fault="cut")])
    received = _post(llm_server, b'{"model":"m"}', b'{"model":"m","stream":true}')
    assert b"first" in received
    assert b"chat.completion.chunk" in received
    assert b"[DONE]" not in received
    assert not received.endswith(b"0\r\n\r\n")
    assert [e.told for e in llm_server.ledger] == [True, False]
    llm_server.play([Reply(fault="drop")])
    assert _post(llm_server, b'{"model":"m"}') == b""


def test_script_may_be_a_function_and_default_numbers_follow_the_size(llm_server: LedgerServer) -> None:
    """A function sees the parsed request; without numbers the books hold a quarter of its bytes."""
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply("x" * 40, fault=None if asked.number == 0 else "drop", stage="router")

    llm_server.play(answer)
    body = json.dumps({"model": "m", "messages": ASK}).encode()
    _post(llm_server, body, body)
    assert [(a.api, a.model, a.body["messages"]) for a in seen] == [("openai.chat", "m", ASK)] * 2
    first = llm_server.ledger[0]
    assert (first.input_tokens, first.output_tokens, first.stage) == (len(body) // 4, 10, "router")


def test_event_stream_frames_have_the_right_lengths() -> None:
    """The first four bytes of a frame are its length."""
    frame = aws("messageStart", {"role": "assistant"})
    assert int.from_bytes(frame[:4], "big") == len(frame)
