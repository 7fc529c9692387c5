"""Parts that the prompts of several APIs have in common: texts, names of tool results, tool definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str, dicts
from pytest_tokenbudget.records.prompt import (
    Message,
    OutputSchema,
    Part,
    Prompt,
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
    return ROLES.get(wire_role.lower(), "user")


def texts(value: object) -> tuple[Text, ...]:
    """A text as parts; an empty one costs nothing and is left out."""
    return (Text(value),) if isinstance(value, str) and value else ()


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
    """A function tool.

    Args:
        definition: The whole definition as on the wire.
        function: The part of it that has the name.
        parameters: Key of the arguments' schema.
    """
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


def turn_role(wire_role: str, parts: tuple[Part, ...]) -> Role:
    """The role of a turn: one that holds nothing but tool results is the tool's, whatever the wire calls it."""
    if parts and all(isinstance(part, ToolResult) for part in parts):
        return "tool"
    return role_of(wire_role)


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
