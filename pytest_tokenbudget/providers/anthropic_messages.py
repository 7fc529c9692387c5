"""Anthropic's messages API: its own, on Vertex AI (``rawPredict``), and through gateways that speak it."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, compact, dicts

_SERVER_TOOLS = frozenset({"server_tool_use", "mcp_tool_use"})


class AnthropicMessages(BuiltinFormat):
    """Messages, streamed or not."""

    api = "anthropic.messages"

    def recognises(self, request: Request) -> bool:
        """By path and the messages in the body; a thread's messages at OpenAI have none."""
        if request.ends("/messages"):
            return request.has("messages") and request.has("model", "max_tokens", "anthropic_version")
        return self._on_vertex(request)

    def _on_vertex(self, request: Request) -> bool:
        if not request.ends(":rawPredict", ":streamRawPredict") or self.url_model(request) == "count-tokens":
            return False
        return "/publishers/anthropic/" in request.path or "anthropic_version" in (request.body or {})

    def url_model(self, request: Request) -> str:
        """The model in a path of Vertex AI."""
        return segment_after(request.path, "models").partition(":")[0]

    def asked_stream(self, request: Request) -> bool:
        """By the body, or by the path on Vertex AI."""
        return request.path.endswith(":streamRawPredict") or super().asked_stream(request)

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a message, or from the events of a stream."""
        walk(answer.documents, accumulator)


def walk(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    """Gather from messages and from the events of streams.

    ``message_delta`` is cumulative: its fields that are not null replace those of ``message_start``, also where server
    tools made the input larger on the way.
    """
    usage: dict[str, Any] = {}
    for index, document in enumerate(documents):
        kind = document.get("type")
        if kind == "content_block_delta":
            _delta(document.get("delta"), index, accumulator)
        elif kind == "content_block_start":
            _block(as_dict(document.get("content_block")), index, accumulator)
        elif kind == "message_start":
            _message(as_dict(document.get("message")), index, accumulator, usage)
        elif kind == "message_delta":
            _overlay(usage, document.get("usage"))
            accumulator.finish = as_dict(document.get("delta")).get("stop_reason") or accumulator.finish
        elif kind == "error" or document.get("error"):
            accumulator.error = error_text(document.get("error") or document)
        elif kind == "message" or "content" in document:
            _message(document, index, accumulator, usage)
    if usage:
        accumulator.usage = usages.anthropic(usage)


def _message(message: dict[str, Any], index: int, accumulator: ResponseAccumulator, usage: dict[str, Any]) -> None:
    accumulator.read = True
    accumulator.named(message)
    _overlay(usage, message.get("usage"))
    accumulator.finish = message.get("stop_reason") or accumulator.finish
    for block in dicts(message.get("content")):
        _block(block, index, accumulator)


def _overlay(usage: dict[str, Any], newer: object) -> None:
    usage.update({key: value for key, value in as_dict(newer).items() if value is not None})


def _block(block: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    kind = as_str(block.get("type"))
    if kind == "tool_use":
        accumulator.call(block.get("name"), block.get("input"), index)
    elif kind in _SERVER_TOOLS:
        accumulator.server_tool_calls.append(as_str(block.get("name")))
        accumulator.text(compact(block["input"]) if block.get("input") else "", index)
    else:
        accumulator.text(block.get("text"), index)
        accumulator.text(block.get("thinking"), index)


def _delta(delta: Any, index: int, accumulator: ResponseAccumulator) -> None:
    if delta.__class__ is dict:
        for key in ("text", "partial_json", "thinking"):
            value = delta.get(key)
            if value:
                accumulator.text(value, index)
