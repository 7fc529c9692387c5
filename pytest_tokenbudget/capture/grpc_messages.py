"""Messages of gRPC as JSON: Google's by protobuf's own mapping, xAI's in the form of OpenAI's chat completions."""

from __future__ import annotations

import json
from typing import Any

JsonObject = dict[str, Any]


def as_json(message: Any) -> JsonObject:
    """A message by protobuf's JSON mapping; one of ``proto-plus`` holds one of protobuf."""
    from google.protobuf.json_format import MessageToDict

    plain = message if hasattr(message, "DESCRIPTOR") else getattr(message, "_pb", None)
    if plain is None:
        return {}
    found: JsonObject = MessageToDict(plain)
    return found


def xai_request(message: JsonObject, *, streamed: bool) -> JsonObject:
    """Put a request of xAI into the form of OpenAI's chat completions."""
    messages = []
    for one in message.get("messages") or []:
        content = "".join(part.get("text", "") for part in one.get("content") or [])
        role = str(one.get("role", "")).removeprefix("ROLE_").lower() or "user"
        put = {
            "role": role,
            "content": content,
            "tool_calls": one.get("toolCalls"),
            "tool_call_id": one.get("toolCallId"),
        }
        messages.append({key: value for key, value in put.items() if value is not None})
    tools = [
        {"type": "function", "function": _xai_tool(tool["function"])}
        for tool in message.get("tools") or []
        if "function" in tool
    ]
    return {"model": message.get("model", ""), "messages": messages, "stream": streamed} | (
        {"tools": tools} if tools else {}
    )


def _xai_tool(function: JsonObject) -> JsonObject:
    try:
        parameters = json.loads(function.get("parameters") or "{}")
    except ValueError:
        parameters = {}
    return {**function, "parameters": parameters}


def xai_answer(message: JsonObject) -> JsonObject:
    """Put an answer of xAI, or a piece of one, into that form."""
    usage = message.get("usage") or {}
    choices = []
    for output in message.get("outputs") or []:
        choice: JsonObject = {"index": output.get("index", 0)}
        for side in ("message", "delta"):
            if isinstance(said := output.get(side), dict):
                choice[side] = {
                    "role": "assistant",
                    "content": said.get("content", ""),
                    "reasoning_content": said.get("reasoningContent", ""),
                    "tool_calls": [{"index": at, **call} for at, call in enumerate(said.get("toolCalls") or [])],
                }
        reason = str(output.get("finishReason", "")).lower()
        choice["finish_reason"] = reason.removeprefix("reason_").replace("max_len", "length") or None
        choices.append(choice)
    answer: JsonObject = {"id": message.get("id"), "model": message.get("model"), "choices": choices}
    if usage:
        answer["usage"] = {
            "prompt_tokens": usage.get("promptTokens", 0),
            "completion_tokens": usage.get("completionTokens", 0),
            "total_tokens": usage.get("totalTokens", 0),
            "prompt_tokens_details": {"cached_tokens": usage.get("cachedPromptTextTokens", 0)},
            "completion_tokens_details": {"reasoning_tokens": usage.get("reasoningTokens", 0)},
        }
    return answer
