"""DashScope's own generation and embeddings."""

from __future__ import annotations

import pytest
from wire_samples import exchange, sse

from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.http_message import request_of
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.call import Usage

URL = "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/text-generation/generation"
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
ASK = {
    "model": "qwen-plus",
    "input": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
    "parameters": {"result_format": "message", "tools": [TOOL]},
}
USAGE = {
    "input_tokens": 22,
    "output_tokens": 17,
    "total_tokens": 39,
    "prompt_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 6},
}
CALL = {"id": "call_1", "index": 0, "function": {"name": "weather", "arguments": "{}"}}


def event(content: str, reason: str, usage: dict | None = None, calls: tuple[dict, ...] = ()) -> dict:
    message = {"role": "assistant", "content": content, "tool_calls": list(calls)}
    choices = [{"finish_reason": reason, "message": message}]
    return {"request_id": "r", "output": {"choices": choices}, "usage": usage or {**USAGE, "output_tokens": 1}}


def test_an_answer_is_read(answered):
    """Usage with its parts, tool calls, and the provider by its host."""
    found = answered(URL, ASK, event("", "tool_calls", USAGE, (CALL,)))
    assert (found.api, found.provider, found.model) == ("dashscope.generation", "alibaba", "qwen-plus")
    assert found.usage == Usage(22, 17, 4, None, 6)
    assert (found.tool_calls, found.finish_reason) == (("weather",), "tool_call")


@pytest.mark.parametrize("incremental", [True, False])
def test_a_stream_is_read_whichever_way_it_grows(answered, incremental):
    """In pieces, or with all that was written so far in each event; a repeated call is one call."""
    headers = (("content-type", "application/json"), ("x-dashscope-sse", "enable"))
    texts = ["Hel", "lo", "!"] if incremental else ["Hel", "Hello", "Hello!"]
    events = [event(text, "null", calls=(CALL,)) for text in texts[:2]] + [event(texts[2], "stop", USAGE, (CALL,))]
    found = answered(URL, ASK, sse(*events), content_type="text/event-stream", request_headers=headers)
    assert (found.stream, found.usage, found.finish_reason) == (True, Usage(22, 17, 4, None, 6), "stop")
    assert found.tool_calls == ("weather",)
    assert found.first_content_at is not None


def test_texts_of_old_and_errors(answered):
    """``prompt`` in, ``text`` out; an error is a code with a message."""
    asked = {"model": "qwen-turbo", "input": {"prompt": "Hi"}}
    found = answered(
        URL,
        asked,
        {"output": {"text": "Ho", "finish_reason": "stop"}, "usage": {"input_tokens": 3, "output_tokens": 2}},
    )
    assert (found.usage, found.finish_reason) == (Usage(3, 2), "stop")
    broken = answered(URL, asked, {"code": "Throttling", "message": "Slow down.", "request_id": "r"})
    assert broken.error == "Throttling: Slow down."


def test_the_prompt_is_read():
    """Messages stand in ``input``, tools in ``parameters``."""
    prompt = classify(request_of(exchange(URL, ASK, b"")), builtin_formats()).prompt()
    assert prompt is not None
    assert [message.role for message in prompt.messages] == ["system", "user"]
    assert ([tool.name for tool in prompt.tools], prompt.model) == (["weather"], "qwen-plus")


def test_embeddings_are_read(answered):
    """They tell a total, which is the input."""
    url = "https://dashscope.aliyuncs.com/api/v1/services/embeddings/text-embedding/text-embedding"
    asked = {"model": "text-embedding-v4", "input": {"texts": ["Hi", "Ho"]}}
    found = answered(url, asked, {"output": {"embeddings": []}, "usage": {"total_tokens": 5}, "request_id": "r"})
    assert (found.api, found.operation, found.usage) == ("dashscope.embeddings", "embeddings", Usage(5))
