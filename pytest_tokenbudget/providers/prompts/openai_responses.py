"""Prompts of OpenAI's Responses API (and xAI's, Azure's, DeepSeek's, OpenRouter's)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts
from pytest_tokenbudget.providers.prompts.media import image_from_url, inline_file
from pytest_tokenbudget.providers.prompts.shape import (
    description,
    function_tool,
    kept,
    named_choice,
    role_of,
    schema,
    texts,
    with_names,
)
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

EXTRA = ("previous_response_id", "conversation", "prompt", "reasoning", "truncation", "context_management", "text")
_SERVER_STATE = ("previous_response_id", "conversation", "prompt")
_ADDED = "additional_tools"
_CALLS = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
_RESULTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "computer_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
    }
)


def prompt(body: dict[str, Any], model: str = "", api: str = "openai.responses") -> Prompt:
    """What a Responses request asks: each input item is one message, ``instructions`` the first.

    An item that is no message has its type as ``wire_role``; function calls that follow one another are the parallel
    calls of one turn.
    """
    messages: list[Message] = []
    if body.get("instructions"):
        messages.append(Message("system", _content(body["instructions"]), None, "system"))
    given = body.get("input")
    if isinstance(given, str):
        messages.append(Message("user", texts(given), None, "user"))
    messages.extend(_item(item) for item in dicts(given) if item.get("type") != _ADDED)
    text_format = as_dict(as_dict(body.get("text")).get("format"))
    extra = kept(body, EXTRA)
    if text_format.get("type") in (None, "text", "json_schema"):
        extra.pop("text", None)
    sealed = any(isinstance(p, Reasoning) and p.opaque for m in messages for p in m.parts)
    choice = body.get("tool_choice")
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=with_names(messages),
        tools=(*(_tool(item) for item in dicts(body.get("tools"))), *_added(given)),
        tool_choice=None if choice is None else named_choice(choice),
        output_schema=_output_schema(text_format),
        opaque_reasoning=sealed or any(body.get(name) is not None for name in _SERVER_STATE),
        extra=extra,
    )


def _added(given: object) -> list[Tool]:
    """Tools that were made available in the course of the conversation; their kind is their item's type."""
    added = [item for item in dicts(given) if item.get("type") == _ADDED]
    return [replace(_tool(tool), kind=_ADDED) for item in added for tool in dicts(item.get("tools"))]


def _item(item: dict[str, Any]) -> Message:
    kind = as_str(item.get("type")) or "message"
    if kind == "message":
        wire_role = as_str(item.get("role"))
        return Message(role_of(wire_role), _content(item.get("content")), None, wire_role)
    if kind in _CALLS:
        arguments = item.get("arguments", item.get("input", item.get("action", "")))
        name = as_str(item.get("name")) or kind.removesuffix("_call")
        own_id = as_str(item.get("id"))
        call = ToolCall(name, compact(arguments), as_str(item.get("call_id")) or own_id, stored=bool(own_id))
        return Message("assistant", (call,), None, kind)
    if kind in _RESULTS:
        result = ToolResult(_result(item.get("output")), "", as_str(item.get("call_id")))
        return Message("tool", (result,), None, kind)
    if kind in ("reasoning", "compaction", "compaction_summary"):
        return Message("assistant", _reasoning(item), None, kind)
    if kind == "item_reference":
        return Message("assistant", (Reasoning(opaque=True),), None, kind)
    return Message("assistant", _server_tool(item, kind), None, kind)


def _server_tool(item: dict[str, Any], kind: str) -> tuple[Part, ...]:
    """A call that the provider ran itself (web search, code interpreter, MCP) and that is sent back as history."""
    shown = {key: value for key, value in item.items() if key not in ("type", "id", "status", "result")}
    name = as_str(item.get("name")) or kind.removesuffix("_call")
    parts: list[Part] = [ToolCall(name, compact(shown), as_str(item.get("id")))]
    image = item.get("result")
    if kind == "image_generation_call" and isinstance(image, str):
        parts.append(image_from_url(f"data:image/png;base64,{image}"))
    return tuple(parts)


def _reasoning(item: dict[str, Any]) -> tuple[Part, ...]:
    plain = "".join(as_str(part.get("text")) for part in dicts(item.get("content")))
    summary = "".join(as_str(part.get("text")) for part in dicts(item.get("summary")))
    sealed = as_str(item.get("encrypted_content"))
    if plain:
        return (Reasoning(text=plain, size=len(plain)),)
    if sealed or not summary:
        # an item without content stands for what the server kept under its id
        return (Reasoning(text=summary, opaque=True, size=len(sealed)),)
    return (Reasoning(text=summary, size=len(summary)),)


def _result(output: object) -> tuple[Text | Image | File, ...]:
    if isinstance(output, str):
        return texts(output)
    if isinstance(output, list):
        return tuple(part for part in _content(output) if isinstance(part, Text | Image | File))
    found = as_dict(output)
    if found.get("type") in ("computer_screenshot", "input_image"):
        return (image_from_url(as_str(found.get("image_url")) or as_str(found.get("file_id"))),)
    return texts(compact(output)) if output is not None else ()


def _content(value: object) -> tuple[Part, ...]:
    if not isinstance(value, list):
        return texts(value)
    parts: list[Part] = []
    for item in value:
        if isinstance(item, str):
            parts.extend(texts(item))
        elif isinstance(item, dict):
            parts.extend(_part(item))
    return tuple(parts)


def _part(item: dict[str, Any]) -> tuple[Part, ...]:
    kind = as_str(item.get("type"))
    if kind == "input_image":
        url = item.get("image_url")
        url = url if isinstance(url, str) else as_str(as_dict(url).get("url"))
        return (image_from_url(url or as_str(item.get("file_id")), as_str(item.get("detail")) or None),)
    if kind == "input_file":
        data = as_str(item.get("file_data"))
        if data:
            return (inline_file(data),)
        return (File(reference=as_str(item.get("file_id")) or as_str(item.get("file_url"))),)
    if kind == "input_audio":
        held = as_dict(item.get("input_audio")) or item
        return (inline_file(as_str(held.get("data")), f"audio/{as_str(held.get('format')) or 'unknown'}"),)
    if kind in ("message", "") and isinstance(item.get("content"), list | str):
        return _content(item["content"])
    return texts(item.get("text", item.get("refusal")))


def _tool(item: dict[str, Any]) -> Tool:
    kind = as_str(item.get("type")) or "function"
    if kind == "function":
        held = as_dict(item.get("function")) or item
        return function_tool(item, held)
    return Tool(
        name=as_str(item.get("name")) or as_str(item.get("server_label")) or kind,
        description=description(item.get("description", item.get("server_description"))),
        parameters=schema(item.get("parameters")),
        definition=item,
        kind=kind,
    )


def _output_schema(text_format: dict[str, Any]) -> OutputSchema | None:
    wanted = text_format.get("schema")
    if text_format.get("type") != "json_schema" or not isinstance(wanted, dict):
        return None
    strict = text_format.get("strict")
    return OutputSchema(
        name=as_str(text_format.get("name")),
        description=description(text_format.get("description")),
        schema=wanted,
        strict=strict if isinstance(strict, bool) else None,
    )
