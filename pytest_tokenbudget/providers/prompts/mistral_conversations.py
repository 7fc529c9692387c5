"""Prompts of Mistral's conversations."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts
from pytest_tokenbudget.providers.prompts import openai_chat
from pytest_tokenbudget.providers.prompts.shape import role_of, texts, with_names
from pytest_tokenbudget.records.prompt import Message, Prompt, ToolCall, ToolResult


def prompt(body: dict[str, Any], model: str = "", api: str = "mistral.conversations") -> Prompt:
    """What a turn asks: ``inputs`` is a text or a list of entries; what went before is kept by the server."""
    messages: list[Message] = []
    if body.get("instructions"):
        messages.append(Message("system", texts(body["instructions"]), None, "system"))
    given = body.get("inputs")
    if isinstance(given, str):
        messages.append(Message("user", texts(given), None, "user"))
    messages.extend(_entry(item) for item in dicts(given))
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or as_str(body.get("agent_id")) or model,
        messages=with_names(messages),
        tools=openai_chat.tools(body),
        opaque_reasoning="model" not in body,
        extra={"completion_args": as_dict(body["completion_args"])} if body.get("completion_args") else {},
    )


def _entry(item: dict[str, Any]) -> Message:
    kind = as_str(item.get("type"))
    if kind == "function.call":
        call = ToolCall(as_str(item.get("name")), compact(item.get("arguments", "")), as_str(item.get("tool_call_id")))
        return Message("assistant", (call,), None, kind)
    if kind == "function.result":
        result = ToolResult(texts(compact(item.get("result", ""))), "", as_str(item.get("tool_call_id")))
        return Message("tool", (result,), None, kind)
    wire_role = as_str(item.get("role")) or "user"
    return Message(role_of(wire_role), openai_chat.content(item.get("content")), None, wire_role)
