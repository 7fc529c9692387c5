"""Prompts of Google's Interactions API."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts
from pytest_tokenbudget.providers.prompts.media import inline_file, inline_image
from pytest_tokenbudget.providers.prompts.shape import function_tool, kept, texts, turn_role, with_names
from pytest_tokenbudget.records.prompt import (
    File,
    Image,
    Message,
    OutputSchema,
    Part,
    Prompt,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)


def prompt(body: dict[str, Any], model: str = "", api: str = "google.interactions") -> Prompt:
    """What an interaction asks: ``input`` is a text, a list of parts, or a list of turns."""
    messages: list[Message] = []
    if body.get("system_instruction"):
        messages.append(Message("system", texts(body["system_instruction"]), None, "system"))
    given = body.get("input")
    turns = dicts(given) if isinstance(given, list) else dicts([given])
    if any("role" in turn for turn in turns):
        for turn in turns:
            wire_role = as_str(turn.get("role")) or "user"
            parts = _parts(turn.get("content"))
            messages.append(Message(turn_role(wire_role, parts), parts, None, wire_role))
    else:
        parts = texts(given) if isinstance(given, str) else _parts(turns)
        messages.append(Message(turn_role("user", parts), parts, None, "user"))
    wanted = body.get("response_format")
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or as_str(body.get("agent")) or model,
        messages=with_names(messages),
        tools=tuple(_tool(item) for item in dicts(body.get("tools"))),
        output_schema=OutputSchema(schema=wanted) if isinstance(wanted, dict) else None,
        opaque_reasoning=bool(body.get("previous_interaction_id"))
        or any(isinstance(p, Reasoning) and p.opaque for m in messages for p in m.parts),
        extra=kept(body, ("previous_interaction_id",)),
    )


def _parts(value: object) -> tuple[Part, ...]:
    if isinstance(value, str):
        return texts(value)
    held = value if isinstance(value, list) else [value]
    return tuple(part for item in dicts(held) for part in _part(item))


def _part(item: dict[str, Any]) -> tuple[Part, ...]:
    kind = as_str(item.get("type"))
    if kind in ("function_call", "mcp_server_tool_call"):
        return (ToolCall(as_str(item.get("name")), compact(item.get("arguments", {})), as_str(item.get("id"))),)
    if kind in ("function_result", "mcp_server_tool_result"):
        result = item.get("result")
        return (ToolResult(texts(compact(result)), as_str(item.get("name")), as_str(item.get("call_id"))),)
    if kind == "thought":
        plain = "".join(part.text for part in _parts(item.get("summary")) if isinstance(part, Text))
        return (Reasoning(text=plain, opaque=True, size=len(as_str(item.get("signature")))),)
    if kind in ("image", "audio", "document", "video"):
        data, media_type = as_str(item.get("data")), as_str(item.get("mime_type"))
        if kind == "image":
            return (inline_image(data) if data else Image(reference=as_str(item.get("uri"))),)
        return (inline_file(data, media_type) if data else File(media_type, reference=as_str(item.get("uri"))),)
    return texts(item.get("text"))


def _tool(item: dict[str, Any]) -> Tool:
    kind = as_str(item.get("type")) or "function"
    if kind == "function":
        return function_tool(item, as_dict(item.get("function")) or item)
    return Tool(name=as_str(item.get("name")) or kind, definition=item, kind=kind)
