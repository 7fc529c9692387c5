"""Ollama's own API: chat, generate and embeddings; streams are JSON lines.

``prompt_eval_count`` is missing where the whole prompt was cached: unknown, not 0.
"""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.inline_media import inline_image
from pytest_tokenbudget.providers.loose import as_dict, as_list, as_str, count, dicts
from pytest_tokenbudget.providers.prompt_parts import (
    embedding_prompt,
    kept,
    message,
    plain_texts,
    texts,
    token_ids,
    tools,
    with_names,
)
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has, holds
from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.records.prompt import Message, OutputSchema, Prompt


def _chat_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
    """Ollama's native chat: OpenAI's messages with ``images``, ``thinking`` and ``tool_name`` beside the content."""
    messages: list[Message] = []
    for item in dicts(body.get("messages")):
        named = {**item, "reasoning_content": item.get("thinking")}
        if item.get("tool_name"):
            named["name"] = item["tool_name"]
        found = message(named)
        images = tuple(inline_image(data) for data in as_list(item.get("images")) if isinstance(data, str))
        messages.append(Message(found.role, found.parts + images, found.name, found.wire_role))
    return Prompt(
        api=api,
        model=as_str(body.get("model")) or model,
        messages=with_names(messages),
        tools=tools(body),
        output_schema=_format(body),
    )


def _generate_prompt(body: dict[str, Any], model: str, api: str) -> Prompt:
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


class _Ollama(WireFormat):
    """Ollama streams unless it is told not to."""

    common_path = True

    def asks_stream(self, request: Request) -> bool:
        """Tell by the body."""
        return request.body is not None and request.body.get("stream") is not False


class OllamaChat(_Ollama):
    """Chat."""

    api = "ollama.chat"
    endpoints = (
        Endpoint("call", r"/api/chat$", when=holds("messages", "model")),
        Endpoint("auxiliary", r"/api/(pull|push|show|create|copy|delete|tags|ps|version)$", methods=()),
    )
    hosts = (("ollama.com", "ollama"),)
    read_prompt = staticmethod(_chat_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the lines of a stream."""
        for index, document in enumerate(response.documents):
            said = as_dict(document.get("message"))
            accumulator.text(said.get("thinking"), index)
            accumulator.text(said.get("content"), index)
            for call in dicts(said.get("tool_calls")):
                function = as_dict(call.get("function"))
                accumulator.call(function.get("name"), function.get("arguments"), index)
            _figures(document, accumulator)


class OllamaGenerate(_Ollama):
    """Completion of a prompt."""

    api = "ollama.generate"
    operation = "text_completion"
    endpoints = (Endpoint("call", r"/api/generate$", when=holds("model")),)
    read_prompt = staticmethod(_generate_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the lines of a stream."""
        for index, document in enumerate(response.documents):
            accumulator.text(document.get("thinking"), index)
            accumulator.text(document.get("response"), index)
            _figures(document, accumulator)


class OllamaEmbed(WireFormat):
    """Embeddings, new (``input``) and old (``prompt``)."""

    api = "ollama.embed"
    operation = "embeddings"
    endpoints = (Endpoint("call", r"/api/(embed|embeddings)$", when=has("input", "prompt")),)
    read_prompt = staticmethod(embedding_prompt)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in response.documents:
            _figures(document, accumulator)
            accumulator.read = accumulator.read or "embedding" in document or "embeddings" in document
            accumulator.usage = Usage(input_tokens=accumulator.usage.input_tokens)


def _figures(document: dict[str, Any], accumulator: ResponseAccumulator) -> None:
    accumulator.named(document)
    accumulator.note_error(document.get("error"))
    if document.get("done") is True:
        accumulator.finish = document.get("done_reason")
    if "done" in document:
        accumulator.read = True
    if "eval_count" in document or "prompt_eval_count" in document:
        read, written = count(document.get("prompt_eval_count")), count(document.get("eval_count"))
        accumulator.note_usage(Usage(input_tokens=read, output_tokens=written))
