"""Prompts of the APIs that take a text: completions, embeddings, Ollama, text generation servers."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str, dicts
from pytest_tokenbudget.providers.prompts import openai_chat
from pytest_tokenbudget.providers.prompts.media import inline_image
from pytest_tokenbudget.providers.prompts.shape import kept, plain_texts, texts, with_names
from pytest_tokenbudget.records.prompt import Message, OutputSchema, Part, Prompt, Text

_GIVEN = ("prompt", "input", "inputs", "inputText", "text", "input_ids")
"""What the APIs call the text that is to be completed."""


def completion(body: dict[str, Any], model: str = "", api: str = "openai.completions") -> Prompt:
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
    """How many token ids a prompt of ``[int, ...]`` or ``[[int, ...], ...]`` has."""
    total = 0
    for item in as_list(given):
        if isinstance(item, list):
            total += sum(isinstance(token, int) for token in item)
        elif isinstance(item, int):
            total += 1
    return total


def embedding(body: dict[str, Any], model: str = "", api: str = "openai.embeddings") -> Prompt:
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


def ollama_chat(body: dict[str, Any], model: str = "", api: str = "ollama.chat") -> Prompt:
    """Ollama's native chat: OpenAI's messages with ``images``, ``thinking`` and ``tool_name`` beside the content."""
    messages: list[Message] = []
    for item in dicts(body.get("messages")):
        named = {**item, "reasoning_content": item.get("thinking")}
        if item.get("tool_name"):
            named["name"] = item["tool_name"]
        found = openai_chat.message(named)
        images = tuple(inline_image(data) for data in as_list(item.get("images")) if isinstance(data, str))
        messages.append(Message(found.role, found.parts + images, found.name, found.wire_role))
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=with_names(messages),
        tools=openai_chat.tools(body),
        output_schema=_format(body),
    )


def ollama_generate(body: dict[str, Any], model: str = "", api: str = "ollama.generate") -> Prompt:
    """Ollama's native ``generate``; ``context`` is the ids of the conversation so far."""
    messages: list[Message] = []
    if body.get("system"):
        messages.append(Message("system", texts(body["system"]), None, "system"))
    images = tuple(inline_image(data) for data in as_list(body.get("images")) if isinstance(data, str))
    messages.append(Message("user", plain_texts(body.get("prompt")) + images, None, "user"))
    extra = kept(body, ("suffix", "template"))
    ids = token_ids(body.get("context"))
    if ids:
        extra["token_ids"] = ids
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=tuple(messages),
        output_schema=_format(body),
        extra=extra,
    )


def _format(body: dict[str, Any]) -> OutputSchema | None:
    wanted = body.get("format")
    return OutputSchema(schema=wanted) if isinstance(wanted, dict) else None
