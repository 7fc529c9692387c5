"""Prompts in the dialect of chat completions, and the parts that the prompts of several APIs have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pytest_tokenbudget.providers.inline_media import image_from_url, inline_file
from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str, compact, dicts
from pytest_tokenbudget.records.prompt import (
    File,
    Message,
    OutputSchema,
    Part,
    Prompt,
    Reasoning,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
}
"""Roles on the wire, in lower case, and what they are."""


def role_of(wire_role: str) -> Role:
    """The role behind a wire role; one that is not known is read as the user's."""
    return ROLES.get(wire_role) or ROLES.get(wire_role.lower(), "user")


def texts(value: object) -> tuple[Text, ...]:
    """A text as parts; an empty one costs nothing and is left out."""
    return (Text(value),) if isinstance(value, str) and value else ()


def parts_of(value: object, read: Callable[[dict[str, Any]], Iterable[Part]]) -> tuple[Part, ...]:
    """Parts of a content: a string, or a list of strings and of objects that ``read`` takes apart."""
    if not isinstance(value, list):
        return texts(value)
    parts: list[Part] = []
    for item in value:
        parts.extend(read(item) if isinstance(item, dict) else texts(item))
    return tuple(parts)


def plain_texts(value: object) -> tuple[Text, ...]:
    """Texts of a prompt that is a string, or a list of strings."""
    if isinstance(value, list):
        return tuple(Text(item) for item in value if isinstance(item, str) and item)
    return texts(value)


def schema(value: object) -> dict[str, Any] | None:
    """A JSON schema where there is one."""
    return value if isinstance(value, dict) else None


def description(value: object) -> str | None:
    """A description where there is one."""
    return value if isinstance(value, str) else None


def output_schema(held: dict[str, Any], wanted: dict[str, Any]) -> OutputSchema:
    """The schema of a structured output, with the name and the strictness that stand beside it."""
    strict = held.get("strict")
    return OutputSchema(
        name=as_str(held.get("name")),
        description=description(held.get("description")),
        schema=wanted,
        strict=strict if isinstance(strict, bool) else None,
    )


def function_tool(definition: dict[str, Any], function: dict[str, Any], parameters: str = "parameters") -> Tool:
    """A function tool: its whole definition, the part of it that has the name, and the key of the arguments' schema there."""
    return Tool(
        name=as_str(function.get("name")),
        description=description(function.get("description")),
        parameters=schema(function.get(parameters)),
        definition=definition,
    )


def named_choice(value: object) -> str | None:
    """``tool_choice`` of the OpenAI dialects: a word, or the name of the one tool that is forced."""
    if isinstance(value, str):
        return "required" if value == "any" else value
    choice = as_dict(value)
    kind = as_str(choice.get("type"))
    for holder in (choice.get(kind), choice):
        name = as_str(as_dict(holder).get("name"))
        if name:
            return name
    if kind == "allowed_tools":
        mode = as_dict(choice.get("allowed_tools")).get("mode", choice.get("mode"))
        return as_str(mode) or "auto"
    return {"any": "required", "required": "required", "auto": "auto", "none": "none"}.get(kind, kind or None)


def kept(body: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields of a request that are there and not ``None``."""
    return {name: body[name] for name in names if body.get(name) is not None}


def with_names(messages: list[Message]) -> tuple[Message, ...]:
    """The messages, each tool result with the name of the call whose id it answers."""
    names: dict[str, str] = {}
    return tuple([message if message.plain else _named(message, names) for message in messages])


def _named(message: Message, names: dict[str, str]) -> Message:
    parts: list[Part] = []
    named = False
    for part in message.parts:
        if isinstance(part, ToolCall) and part.id:
            names[part.id] = part.name
        elif isinstance(part, ToolResult) and not part.name and part.id in names:
            part = ToolResult(parts=part.parts, name=names[part.id], id=part.id)  # noqa: PLW2901 - the named one
            named = True
        parts.append(part)
    return Message(message.role, tuple(parts), message.name, message.wire_role) if named else message


def has_sealed_reasoning(messages: Iterable[Message]) -> bool:
    """Tell whether the messages hold reasoning that is encrypted."""
    return any(isinstance(part, Reasoning) and part.opaque for message in messages for part in message.parts)


def turn(wire_role: str, parts: tuple[Part, ...]) -> Message:
    """A turn: one that holds nothing but tool results is the tool's, whatever the wire calls it."""
    is_result = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
    return Message("tool" if is_result else role_of(wire_role), parts, None, wire_role)


_GIVEN = ("prompt", "input", "inputs", "inputText", "text", "input_ids")
"""The names that APIs have for the text that is to be completed."""


def completion_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """A prompt that is a text, a list of texts, or token ids (kept in ``extra``: their number is exact)."""
    given = next((body[key] for key in _GIVEN if key in body), None)
    held = as_dict(given)
    parts: list[Part] = [*texts(held.get("system_prompt")), *plain_texts(held.get("prompt", given))]
    parts.extend(text for item in dicts(given) for text in texts(item.get("data", item.get("text"))))
    messages = [Message("user", tuple(parts), None, "")] if parts else []
    if body.get("system"):
        messages.insert(0, Message("system", texts(body["system"]), None, "system"))
    extra = kept(body, ("suffix", "input_prefix", "input_suffix"))
    ids = token_ids(given)
    if ids:
        extra["token_ids"] = ids
    return Prompt(api=api, model=as_str(body.get("model")) or model, messages=tuple(messages), extra=extra)


def token_ids(given: object) -> int:
    """Count the token ids that a prompt of ``[int, ...]`` or ``[[int, ...], ...]`` has."""
    total = 0
    for item in as_list(given):
        if isinstance(item, list):
            total += sum(isinstance(token, int) for token in item)
        elif isinstance(item, int):
            total += 1
    return total


def embedding_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """The texts that are to be embedded, a message each, whatever the API calls them."""
    found: list[Text] = []
    for key in ("input", "inputs", "texts", "prompt", "inputText"):
        found.extend(plain_texts(body.get(key)))
    for item in dicts(body.get("requests")) or [body]:
        found.extend(
            text for part in dicts(as_dict(item.get("content")).get("parts")) for text in texts(part.get("text"))
        )
    found.extend(text for item in dicts(body.get("instances")) for text in texts(item.get("content")))
    extra = {"token_ids": ids} if (ids := token_ids(body.get("input"))) else {}
    messages = tuple(Message("user", (text,), None, "") for text in found)
    return Prompt(api=api, model=as_str(body.get("model")) or model, messages=messages, extra=extra)


_REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details"})
_EXTRA = (
    "prediction",
    "web_search_options",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "documents",
    "parallel_tool_calls",
)
"""Fields beside messages, tools and schema that change what the model reads."""


def chat_prompt(body: dict[str, Any], model: str = "", api: str = "openai.chat") -> Prompt:
    """Read what a chat completions request asks; ``model`` is the URL's, where the body names none."""
    messages = with_names([message(item) for item in dicts(body.get("messages"))])
    choice = body.get("tool_choice", body.get("function_call"))
    extra = kept(body, _EXTRA)
    response_format = as_dict(body.get("response_format"))
    output_schema = _output_schema(response_format)
    if response_format and output_schema is None and response_format.get("type") != "text":
        extra["response_format"] = response_format
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or as_str(body.get("model_id")) or model,
        messages=messages,
        tools=tools(body),
        tool_choice=None if choice is None else named_choice(choice),
        output_schema=output_schema,
        opaque_reasoning=has_sealed_reasoning(messages),
        extra=extra,
    )


def _output_schema(response_format: dict[str, Any]) -> OutputSchema | None:
    held = as_dict(response_format.get("json_schema"))
    wanted = held.get("schema", held.get("schema_definition"))
    if not isinstance(wanted, dict):
        # Together, Cohere and some local servers put the schema right into the response format
        wanted = response_format.get("schema")
        if not isinstance(wanted, dict):
            wanted = held or None
    if not isinstance(wanted, dict) or not wanted:
        return None
    return output_schema(held, wanted)


def message(item: dict[str, Any]) -> Message:
    """One message: reasoning first, then its content, then its tool calls."""
    wire_role = as_str(item.get("role"))
    role = role_of(wire_role)
    said = item.get("content")
    if len(item) == 2 and type(said) is str and role != "tool":
        # nothing but role and content: what most messages are, and what long histories consist of
        return Message(role, texts(said), None, wire_role)
    parts = (*_reasoning(item), *content(said), *texts(item.get("refusal")), *_calls(item))
    name = as_str(item.get("name")) or None
    if role == "tool":
        inner = tuple(part for part in parts if not isinstance(part, ToolCall | ToolResult | Reasoning))
        return Message(role, (ToolResult(inner, name or "", as_str(item.get("tool_call_id"))),), None, wire_role)
    return Message(role, parts, name, wire_role)


def content(value: object) -> tuple[Part, ...]:
    """Parts of a message's content: a string, or a list of strings and typed parts."""
    return parts_of(value, _part)


def _part(item: dict[str, Any]) -> tuple[Part, ...]:
    kind = as_str(item.get("type"))
    if kind in ("text", "input_text", "output_text", "refusal") or (not kind and "text" in item):
        return texts(item.get("text", item.get("refusal")))
    if kind == "image_url":
        image = item.get("image_url")
        source = as_dict(image)
        url = image if isinstance(image, str) else as_str(source.get("url"))
        return (image_from_url(url, as_str(source.get("detail")) or None),)
    if kind == "input_audio":
        audio = item.get("input_audio")
        held = as_dict(audio)
        data = audio if isinstance(audio, str) else as_str(held.get("data"))
        return (inline_file(data, f"audio/{as_str(held.get('format')) or 'unknown'}"),)
    if kind in ("thinking", "reasoning"):
        return (_thought(item),)
    if kind in ("file", "document", "document_url", "file_url", "video_url", "audio_url", "input_file"):
        return (_file(item, kind),)
    return ()


def _thought(item: dict[str, Any]) -> Reasoning:
    inner = item.get("thinking", item.get("reasoning", item.get("text")))
    text = inner if isinstance(inner, str) else "".join(as_str(piece.get("text")) for piece in dicts(inner))
    return Reasoning(text=text, size=len(text))


def _file(item: dict[str, Any], kind: str) -> File:
    held = item.get(kind, item)
    if isinstance(held, str):
        return inline_file(held) if held.startswith("data:") else File(reference=held)
    held = as_dict(held)
    data = held.get("file_data", held.get("data"))
    if isinstance(data, str) and data:
        return inline_file(data)
    if isinstance(data, dict):
        return File(text=compact(data), reference=as_str(held.get("id")))
    return File(reference=as_str(held.get("file_id")) or as_str(held.get("url")) or as_str(item.get("file_id")))


def _reasoning(item: dict[str, Any]) -> tuple[Reasoning, ...]:
    """DeepSeek's ``reasoning_content``, OpenRouter's ``reasoning`` and ``reasoning_details``."""
    if _REASONING.isdisjoint(item):
        return ()
    details = dicts(item.get("reasoning_details"))
    sealed = [entry for entry in details if entry.get("data") or entry.get("type") == "reasoning.encrypted"]
    found: list[Reasoning] = []
    for key in ("reasoning_content", "reasoning"):
        text = as_str(item.get(key))
        if text:
            found.append(Reasoning(text=text, size=len(text)))
            break
    else:
        plain = "".join(as_str(entry.get("text")) or as_str(entry.get("summary")) for entry in details)
        if plain:
            found.append(Reasoning(text=plain, size=len(plain)))
    found.extend(Reasoning(opaque=True, size=len(as_str(entry.get("data")))) for entry in sealed)
    return tuple(found)


def _calls(item: dict[str, Any]) -> tuple[ToolCall, ...]:
    calls = [_call(call) for call in dicts(item.get("tool_calls"))] if "tool_calls" in item else []
    legacy = item.get("function_call")
    if isinstance(legacy, dict):
        calls.append(ToolCall(as_str(legacy.get("name")), compact(legacy.get("arguments", ""))))
    return tuple(calls)


def _call(call: dict[str, Any]) -> ToolCall:
    function = as_dict(call.get("function")) or as_dict(call.get("custom")) or call
    arguments = function.get("arguments", function.get("input", ""))
    return ToolCall(as_str(function.get("name")), compact(arguments), as_str(call.get("id")))


def tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    """The tools that a request offers: ``tools``, and ``functions`` of old."""
    found = [_tool(item) for item in dicts(body.get("tools"))]
    found.extend(function_tool(item, item) for item in dicts(body.get("functions")))
    return tuple(found)


def _tool(item: dict[str, Any]) -> Tool:
    kind = as_str(item.get("type")) or "function"
    function = item.get("function")
    if isinstance(function, dict):
        return function_tool(item, function)
    if kind == "function":
        return function_tool(item, item)
    held = as_dict(item.get(kind)) or item
    return Tool(
        name=as_str(held.get("name")) or kind,
        description=description(held.get("description")),
        parameters=schema(held.get("parameters")),
        definition=item,
        kind=kind,
    )
