"""Prompts of Amazon Bedrock's Converse API, and of Nova's own body, which has the same blocks."""

from __future__ import annotations

import json
from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts
from pytest_tokenbudget.providers.prompts.media import inline_file, inline_image
from pytest_tokenbudget.providers.prompts.shape import description, kept, schema, texts, turn_role, with_names
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

_TEXT_FORMATS = frozenset({"csv", "html", "md", "txt"})
"""Formats of a document that is text."""


def prompt(body: dict[str, Any], model: str = "", api: str = "bedrock.converse") -> Prompt:
    """What a Converse request asks; the model stands in the URL."""
    messages: list[Message] = []
    given = body.get("system")
    system = texts(given) if isinstance(given, str) else _blocks(given)
    if system:
        messages.append(Message("system", system, None, "system"))
    for item in dicts(body.get("messages")):
        wire_role = as_str(item.get("role"))
        content = item.get("content")
        parts = texts(content) if isinstance(content, str) else _blocks(content)
        messages.append(Message(turn_role(wire_role, parts), parts, None, wire_role))
    config = as_dict(body.get("toolConfig"))
    return Prompt(
        api=api,
        model=model or as_str(body.get("modelId")),
        messages=with_names(messages),
        tools=tuple(_tool(item) for item in dicts(config.get("tools")) if "cachePoint" not in item),
        tool_choice=_choice(config.get("toolChoice")),
        output_schema=_output_schema(body),
        opaque_reasoning=any(isinstance(p, Reasoning) and p.opaque for m in messages for p in m.parts),
        extra=kept(body, ("additionalModelRequestFields", "promptVariables", "guardrailConfig")),
    )


def _blocks(value: object) -> tuple[Part, ...]:
    return tuple(part for item in dicts(value) for part in _block(item))


def _block(item: dict[str, Any]) -> tuple[Part, ...]:
    use, result = as_dict(item.get("toolUse")), as_dict(item.get("toolResult"))
    if use:
        return (ToolCall(as_str(use.get("name")), compact(use.get("input", {})), as_str(use.get("toolUseId"))),)
    if result:
        inner = tuple(part for piece in dicts(result.get("content")) for part in _media(piece))
        return (ToolResult(inner, "", as_str(result.get("toolUseId"))),)
    if "reasoningContent" in item:
        return _reasoning(as_dict(item["reasoningContent"]))
    return _media(item)


def _reasoning(held: dict[str, Any]) -> tuple[Reasoning, ...]:
    plain = as_str(as_dict(held.get("reasoningText")).get("text"))
    if plain:
        return (Reasoning(text=plain, size=len(plain)),)
    return (Reasoning(opaque=True, size=len(as_str(held.get("redactedContent")))),)


def _media(item: dict[str, Any]) -> tuple[Text | Image | File, ...]:
    if "json" in item:
        return texts(compact(item["json"]))
    guarded = as_dict(as_dict(item.get("guardContent")).get("text"))
    if guarded:
        return texts(guarded.get("text"))
    if isinstance(item.get("citationsContent"), dict):
        return tuple(
            text for piece in dicts(item["citationsContent"].get("content")) for text in texts(piece.get("text"))
        )
    if isinstance(item.get("searchResult"), dict):
        return (_search_result(item["searchResult"]),)
    for kind in ("image", "document", "video", "audio"):
        if isinstance(item.get(kind), dict):
            return _file(kind, item[kind])
    return texts(item.get("text"))


def _file(kind: str, held: dict[str, Any]) -> tuple[Text | Image | File, ...]:
    source = as_dict(held.get("source"))
    data = as_str(source.get("bytes"))
    where = as_str(as_dict(source.get("s3Location")).get("uri"))
    if kind == "image":
        return (inline_image(data) if data else Image(reference=where),)
    form = as_str(held.get("format")) or "unknown"
    top = "text" if form in _TEXT_FORMATS else "application" if kind == "document" else kind
    media_type = f"{top}/{form}"
    lead = texts(held.get("name")) + texts(held.get("context"))
    if isinstance(source.get("text"), str):
        return (*lead, File("text/plain", len(source["text"]), source["text"]))
    if isinstance(source.get("content"), list):
        return (*lead, *(text for piece in dicts(source["content"]) for text in texts(piece.get("text"))))
    return (*lead, inline_file(data, media_type) if data else File(media_type, reference=where))


def _search_result(held: dict[str, Any]) -> File:
    inner = "".join(as_str(piece.get("text")) for piece in dicts(held.get("content")))
    text = "\n".join(filter(None, (as_str(held.get("title")), inner)))
    return File("text/plain", None, text, as_str(held.get("source")))


def _tool(item: dict[str, Any]) -> Tool:
    spec = as_dict(item.get("toolSpec"))
    if not spec:
        kind = next(iter(item), "")
        return Tool(name=as_str(as_dict(item.get(kind)).get("name")) or kind, definition=item, kind=kind)
    return Tool(
        name=as_str(spec.get("name")),
        description=description(spec.get("description")),
        parameters=schema(as_dict(spec.get("inputSchema")).get("json")),
        definition=item,
    )


def _choice(value: object) -> str | None:
    choice = as_dict(value)
    if "tool" in choice:
        return as_str(as_dict(choice["tool"]).get("name")) or None
    if "any" in choice:
        return "required"
    return "auto" if "auto" in choice else None


def _output_schema(body: dict[str, Any]) -> OutputSchema | None:
    held = as_dict(as_dict(as_dict(body.get("outputConfig")).get("textFormat")).get("structure"))
    wanted = as_dict(held.get("jsonSchema"))
    found = wanted.get("schema")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return None
    if not isinstance(found, dict):
        return None
    return OutputSchema(as_str(wanted.get("name")), description(wanted.get("description")), found)
