"""Cohere: chat in versions 1 and 2, text generation of old, embeddings."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, dicts


class CohereChatV2(BuiltinFormat):
    """Chat of version 2."""

    api = "cohere.chat_v2"

    def recognises(self, request: Request) -> bool:
        """By path and messages."""
        return request.ends("/v2/chat") and request.has("messages")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        for index, document in enumerate(answer.documents):
            _event_v2(document, index, accumulator)


def _event_v2(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    kind = document.get("type")
    message = document.get("message")
    if isinstance(message, dict):
        accumulator.read = True
        accumulator.named(document)
        _message(message, index, accumulator)
        accumulator.finish = document.get("finish_reason") or accumulator.finish
        accumulator.usage = usages.cohere(as_dict(document.get("usage")))
        return
    delta = as_dict(document.get("delta"))
    inner = as_dict(delta.get("message"))
    if kind == "content-delta":
        content = as_dict(inner.get("content"))
        accumulator.text(content.get("text"), index)
        accumulator.text(content.get("thinking"), index)
    elif kind in ("tool-call-start", "tool-call-delta"):
        for call in _calls(inner.get("tool_calls")):
            function = as_dict(call.get("function"))
            if kind == "tool-call-start":
                accumulator.call(function.get("name"), function.get("arguments"), index)
            else:
                accumulator.text(function.get("arguments"), index)
    elif kind == "tool-plan-delta":
        accumulator.text(inner.get("tool_plan"), index)
    elif kind == "message-start":
        accumulator.read = True
        accumulator.named(document)
    elif kind == "message-end":
        accumulator.read = True
        accumulator.finish = delta.get("finish_reason")
        accumulator.usage = usages.cohere(as_dict(delta.get("usage")))
        if delta.get("error"):
            accumulator.error = error_text(delta["error"])
    elif document.get("error") or document.get("error_type"):
        accumulator.error = error_text(document.get("error") or document)


def _calls(value: object) -> list[dict[str, Any]]:
    """Tool calls: a list in a response, a single object in a stream."""
    return [value] if isinstance(value, dict) else dicts(value)


def _message(message: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    accumulator.text(message.get("tool_plan"), index)
    content = message.get("content")
    accumulator.text(content, index)
    for block in dicts(content):
        accumulator.text(block.get("thinking"), index)
        accumulator.text(block.get("text"), index)
    for call in _calls(message.get("tool_calls")):
        function = as_dict(call.get("function"))
        accumulator.call(function.get("name"), function.get("arguments"), index)


class CohereChatV1(BuiltinFormat):
    """Chat of version 1, whose stream is JSON lines."""

    api = "cohere.chat_v1"
    common_path = True

    def recognises(self, request: Request) -> bool:
        """By path and the one message."""
        return request.ends("/v1/chat") and request.body is not None and isinstance(request.body.get("message"), str)

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        for index, document in enumerate(answer.documents):
            kind = document.get("event_type")
            if kind == "stream-end":
                self._response(as_dict(document.get("response")), None, accumulator)
                accumulator.finish = document.get("finish_reason") or accumulator.finish
            elif kind in ("text-generation", "tool-calls-chunk"):
                accumulator.text(document.get("text"), index)
            elif kind is None:
                if document.get("error") or ("message" in document and "text" not in document):
                    accumulator.error = error_text(document.get("error") or document)
                self._response(document, index, accumulator)

    def _response(self, document: dict[str, Any], index: int | None, accumulator: ResponseAccumulator) -> None:
        meta = as_dict(document.get("meta"))
        accumulator.read = accumulator.read or bool(meta) or "text" in document
        accumulator.model = accumulator.model or as_str(document.get("model"))
        accumulator.id = accumulator.id or as_str(document.get("response_id"))
        accumulator.finish = document.get("finish_reason") or accumulator.finish
        accumulator.usage = usages.cohere(meta)
        if isinstance(document.get("token_count"), dict):
            accumulator.usage = usages.cohere_counted(document["token_count"])
        if index is not None:
            accumulator.text(document.get("text"), index)
        for call in dicts(document.get("tool_calls")):
            accumulator.tool_calls.append(as_str(call.get("name")))


class CohereGenerate(BuiltinFormat):
    """Text generation of version 1, which knows billed units only."""

    api = "cohere.generate"
    operation = "text_completion"

    def recognises(self, request: Request) -> bool:
        """By path, version and prompt."""
        return request.ends("/v1/generate") and request.body is not None and "prompt" in request.body

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the events of a stream."""
        for index, document in enumerate(answer.documents):
            accumulator.text(document.get("text"), index)
            held = as_dict(document.get("response")) or document
            accumulator.named(held)
            for generation in dicts(held.get("generations")):
                accumulator.read = True
                accumulator.text(generation.get("text"), index)
                accumulator.finish = generation.get("finish_reason") or accumulator.finish
            if held.get("meta"):
                accumulator.usage = usages.cohere_billed(as_dict(held["meta"]))


class CohereEmbed(BuiltinFormat):
    """Embeddings, which know billed units only."""

    api = "cohere.embed"
    operation = "embeddings"

    def recognises(self, request: Request) -> bool:
        """By path and what is to be embedded."""
        return request.ends("/v1/embed", "/v2/embed") and request.has("texts", "images", "inputs")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in answer.documents:
            accumulator.read = accumulator.read or "embeddings" in document
            accumulator.id = as_str(document.get("id"))
            accumulator.usage = usages.cohere_billed(as_dict(document.get("meta")))
