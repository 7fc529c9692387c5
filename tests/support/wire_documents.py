"""Documents of every API, written by hand after the providers' references."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _chat_chunk(delta: Json, finish: str | None = None, **more: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-9-2026", "choices": [choice], **more}


CHAT_REQUEST: Json = {"model": "gpt-9", "messages": [{"role": "user", "content": "Weather in Oslo and Rome?"}]}
CHAT_USAGE: Json = {
    "prompt_tokens": 50,
    "completion_tokens": 20,
    "total_tokens": 70,
    "prompt_tokens_details": {"cached_tokens": 32},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
CHAT_ANSWER: Json = {
    "id": "c1",
    "model": "gpt-9-2026",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
                    {"id": "b", "type": "function", "function": {"name": "forecast", "arguments": '{"city":"Rome"}'}},
                ],
            },
        }
    ],
    "usage": CHAT_USAGE,
}
CHAT_EVENTS: tuple[Json | str, ...] = (
    _chat_chunk({"role": "assistant", "content": ""}, usage=None),
    _chat_chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "weather", "arguments": ""}}]}),
    _chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Oslo"}'}}]}),
    _chat_chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "forecast", "arguments": "{}"}}]}),
    _chat_chunk({}, "tool_calls"),
    {"id": "c1", "model": "gpt-9-2026", "choices": [], "usage": CHAT_USAGE},
    "[DONE]",
)

RESPONSES_REQUEST: Json = {"model": "gpt-9", "input": "Weather?", "instructions": "Be brief."}
RESPONSES_ANSWER: Json = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-9-2026",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
    ],
    "usage": {
        "input_tokens": 90,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 3},
        "output_tokens": 31,
        "output_tokens_details": {"reasoning_tokens": 16},
        "total_tokens": 121,
    },
}
RESPONSES_EVENTS: tuple[Json, ...] = (
    {
        "type": "response.created",
        "response": {"id": "resp_1", "status": "in_progress", "model": "gpt-9-2026", "output": []},
    },
    {"type": "response.output_item.added", "item": {"type": "message", "content": []}},
    {"type": "response.output_text.delta", "delta": "Let me"},
    {"type": "response.output_text.delta", "delta": " look."},
    {"type": "response.completed", "response": RESPONSES_ANSWER},
)

ANTHROPIC_REQUEST: Json = {"model": "claude-9", "max_tokens": 99, "messages": [{"role": "user", "content": "Weather?"}]}
ANTHROPIC_ANSWER: Json = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-9-1",
    "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}},
    ],
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 40,
        "output_tokens_details": {"thinking_tokens": 5},
    },
}
ANTHROPIC_EVENTS: tuple[Json, ...] = (
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude-9-1",
            "content": [],
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "output_tokens": 1,
            },
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "abc"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "weather", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use"},
        "usage": {"input_tokens": None, "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 5}},
    },
    {"type": "message_stop"},
)

GOOGLE_REQUEST: Json = {"contents": [{"role": "user", "parts": [{"text": "Weather?"}]}]}
GOOGLE_USAGE: Json = {
    "promptTokenCount": 30,
    "cachedContentTokenCount": 12,
    "toolUsePromptTokenCount": 5,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 9,
    "totalTokenCount": 51,
}


def _google(parts: list[Json], usage: Json, finish: str | None = None) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-9-001"}


GOOGLE_EVENTS: tuple[Json, ...] = (
    _google([{"text": "Hm", "thought": True}], {"promptTokenCount": 31}),
    _google([{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}], {"promptTokenCount": 31}),
    _google([{"text": ""}], GOOGLE_USAGE, "STOP"),
)
GOOGLE_ANSWER: Json = _google(
    [{"text": "Hm", "thought": True}, {"functionCall": {"name": "weather", "args": {}}}], GOOGLE_USAGE, "STOP"
)

CONVERSE_REQUEST: Json = {"messages": [{"role": "user", "content": [{"text": "Weather?"}]}]}
CONVERSE_USAGE: Json = {
    "inputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 135,
    "cacheReadInputTokens": 100,
    "cacheWriteInputTokens": 5,
}
CONVERSE_ANSWER: Json = {
    "output": {
        "message": {"role": "assistant", "content": [{"text": "Hm"}, {"toolUse": {"name": "weather", "input": {}}}]}
    },
    "stopReason": "tool_use",
    "usage": CONVERSE_USAGE,
}
CONVERSE_EVENTS: tuple[tuple[str, Json], ...] = (
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hm"}}),
    ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "weather"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": CONVERSE_USAGE, "metrics": {"latencyMs": 5}}),
)

COHERE_REQUEST: Json = {"model": "command-9", "messages": [{"role": "user", "content": "Weather?"}]}
COHERE_USAGE: Json = {
    "billed_units": {"input_tokens": 3, "output_tokens": 9},
    "tokens": {"input_tokens": 80, "output_tokens": 11},
    "cached_tokens": 16,
}
_COHERE_CALL: Json = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
COHERE_ANSWER: Json = {
    "id": "x",
    "finish_reason": "TOOL_CALL",
    "message": {"role": "assistant", "tool_plan": "I look.", "tool_calls": [_COHERE_CALL]},
    "usage": COHERE_USAGE,
}
COHERE_EVENTS: tuple[Json | str, ...] = (
    {"id": "x", "type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I look."}}},
    {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": _COHERE_CALL}}},
    {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": "{}"}}}}},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": COHERE_USAGE}},
)
COHERE_V1_EVENTS: tuple[Json, ...] = (
    {"event_type": "stream-start", "generation_id": "g"},
    {"event_type": "text-generation", "text": "It"},
    {"event_type": "text-generation", "text": " rains."},
    {
        "event_type": "stream-end",
        "finish_reason": "COMPLETE",
        "response": {"text": "It rains.", "meta": {"tokens": {"input_tokens": 80, "output_tokens": 4}}},
    },
)
OLLAMA_EVENTS: tuple[Json, ...] = (
    {"model": "llama9", "message": {"role": "assistant", "content": "It"}, "done": False},
    {
        "model": "llama9",
        "message": {"role": "assistant", "tool_calls": [{"function": {"name": "weather"}}]},
        "done": False,
    },
    {
        "model": "llama9",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 26,
        "eval_count": 8,
    },
)
INTERACTION_USAGE: Json = {
    "total_input_tokens": 11,
    "total_tool_use_tokens": 4,
    "total_output_tokens": 6,
    "total_thought_tokens": 20,
    "total_cached_tokens": 0,
}
INTERACTION_EVENTS: tuple[Json, ...] = (
    {"event_type": "interaction.created", "interaction": {"id": "v1", "status": "in_progress", "model": "gemini-9"}},
    {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
    {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "It rains."}},
    {
        "event_type": "interaction.completed",
        "interaction": {"id": "v1", "status": "completed", "model": "gemini-9", "usage": INTERACTION_USAGE},
    },
)
