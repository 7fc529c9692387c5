"""Prompts of Anthropic's messages API (also on Vertex AI and Bedrock)."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts
from pytest_tokenbudget.providers.prompts.media import image_from_url, inline_file, inline_image
from pytest_tokenbudget.providers.prompts.shape import (
    description,
    kept,
    named_choice,
    schema,
    texts,
    turn_role,
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

EXTRA = ("mcp_servers", "container", "thinking", "context_management")
_TOOL_USES = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


def prompt(body: dict[str, Any], model: str = "", api: str = "anthropic.messages") -> Prompt:
    """What a messages request asks, the system prompt first.

    A turn of nothing but tool results has the role ``tool``, whereas its ``wire_role`` stays ``user``.
    """
    messages: list[Message] = []
    system = _blocks(body.get("system"))
    if system:
        messages.append(Message("system", system, None, "system"))
    for item in dicts(body.get("messages")):
        wire_role = as_str(item.get("role"))
        parts = _blocks(item.get("content"))
        messages.append(Message(turn_role(wire_role, parts), parts, None, wire_role))
    choice = body.get("tool_choice")
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=with_names(messages),
        tools=tuple(_tool(item) for item in dicts(body.get("tools"))),
        tool_choice=None if choice is None else named_choice(choice),
        output_schema=_output_schema(body),
        opaque_reasoning=any(isinstance(p, Reasoning) and p.opaque for m in messages for p in m.parts),
        extra=kept(body, EXTRA),
    )


def _blocks(value: object) -> tuple[Part, ...]:
    if not isinstance(value, list):
        return texts(value)
    parts: list[Part] = []
    for item in value:
        if isinstance(item, str):
            parts.extend(texts(item))
        elif isinstance(item, dict):
            parts.extend(_block(item))
    return tuple(parts)


def _block(item: dict[str, Any]) -> tuple[Part, ...]:
    kind = as_str(item.get("type"))
    if kind in _TOOL_USES:
        return (ToolCall(as_str(item.get("name")), compact(item.get("input", {})), as_str(item.get("id"))),)
    if kind == "tool_result" or kind.endswith("_tool_result"):
        return (ToolResult(_result(item.get("content")), "", as_str(item.get("tool_use_id"))),)
    if kind == "thinking":
        text = as_str(item.get("thinking"))
        return (Reasoning(text=text, opaque=not text, size=len(text) or len(as_str(item.get("signature")))),)
    if kind == "redacted_thinking":
        return (Reasoning(opaque=True, size=len(as_str(item.get("data")))),)
    if kind == "compaction":
        return texts(item.get("content"))
    if kind in ("image", "document", "search_result", "container_upload"):
        return tuple(_media(item, kind))
    return texts(item.get("text"))


def _media(item: dict[str, Any], kind: str) -> tuple[Text | Image | File, ...]:
    source = item.get("source")
    if kind == "search_result" or isinstance(source, str):
        inner = "\n".join(part.text for part in _blocks(item.get("content")) if isinstance(part, Text))
        return (File("text/plain", None, "\n".join(filter(None, (as_str(item.get("title")), inner))), as_str(source)),)
    held = as_dict(source)
    data, media_type = as_str(held.get("data")), as_str(held.get("media_type"))
    where = as_str(held.get("url")) or as_str(held.get("file_id")) or as_str(item.get("file_id"))
    if kind == "image":
        return (inline_image(data) if data else image_from_url(where),)
    lead = tuple(text for key in ("title", "context") for text in texts(item.get(key)))
    if held.get("type") == "text":
        return (*lead, File(media_type or "text/plain", len(data), data))
    if held.get("type") == "content":
        return (*lead, *(part for part in _blocks(held.get("content")) if isinstance(part, Text | Image | File)))
    return (*lead, inline_file(data, media_type) if data else File(media_type, reference=where))


def _result(content: object) -> tuple[Text | Image | File, ...]:
    if not isinstance(content, list):
        return texts(content) if isinstance(content, str) else texts(compact(content) if content else "")
    found: list[Text | Image | File] = []
    for item in content:
        parts = _blocks([item])
        if parts:
            found.extend(part for part in parts if isinstance(part, Text | Image | File))
        else:
            found.extend(texts(compact(item)))
    return tuple(found)


def _tool(item: dict[str, Any]) -> Tool:
    kind = as_str(item.get("type"))
    return Tool(
        name=as_str(item.get("name")) or kind,
        description=description(item.get("description")),
        parameters=schema(item.get("input_schema")),
        definition=item,
        kind="function" if kind in ("", "custom", "function") else kind,
    )


def _output_schema(body: dict[str, Any]) -> OutputSchema | None:
    wanted = as_dict(as_dict(body.get("output_config")).get("format")) or as_dict(body.get("output_format"))
    found = wanted.get("schema")
    return OutputSchema(schema=found) if isinstance(found, dict) else None
