"""Ollama's own API: chat, generate and embeddings; streams are JSON lines.

``prompt_eval_count`` is missing where the whole prompt was cached: unknown, not 0.
"""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, count, dicts
from pytest_tokenbudget.records.call import Usage


class OllamaChat(BuiltinFormat):
    """Chat."""

    api = "ollama.chat"
    common_path = True

    def recognises(self, request: Request) -> bool:
        """By path, messages and model."""
        body = request.body
        return request.ends("/api/chat") and body is not None and "messages" in body and "model" in body

    def asked_stream(self, request: Request) -> bool:
        """Ollama streams unless it is told not to."""
        return request.body is not None and request.body.get("stream") is not False

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the lines of a stream."""
        for index, document in enumerate(answer.documents):
            message = as_dict(document.get("message"))
            accumulator.text(message.get("thinking"), index)
            accumulator.text(message.get("content"), index)
            for call in dicts(message.get("tool_calls")):
                function = as_dict(call.get("function"))
                accumulator.call(function.get("name"), function.get("arguments"), index)
            _figures(document, accumulator)


class OllamaGenerate(BuiltinFormat):
    """Completion of a prompt."""

    api = "ollama.generate"
    operation = "text_completion"
    common_path = True

    def recognises(self, request: Request) -> bool:
        """By path, prompt and model."""
        body = request.body
        return request.ends("/api/generate") and body is not None and "model" in body

    def asked_stream(self, request: Request) -> bool:
        """Ollama streams unless it is told not to."""
        return request.body is not None and request.body.get("stream") is not False

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a response, or from the lines of a stream."""
        for index, document in enumerate(answer.documents):
            accumulator.text(document.get("thinking"), index)
            accumulator.text(document.get("response"), index)
            _figures(document, accumulator)


class OllamaEmbed(BuiltinFormat):
    """Embeddings, new (``input``) and old (``prompt``)."""

    api = "ollama.embed"
    operation = "embeddings"

    def recognises(self, request: Request) -> bool:
        """By path, and what is to be embedded."""
        return request.ends("/api/embed", "/api/embeddings") and request.has("input", "prompt")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in answer.documents:
            _figures(document, accumulator)
            accumulator.read = accumulator.read or "embedding" in document or "embeddings" in document
            accumulator.usage = Usage(input_tokens=accumulator.usage.input_tokens)


def _figures(document: dict[str, Any], accumulator: ResponseAccumulator) -> None:
    accumulator.named(document)
    if document.get("error"):
        accumulator.error = error_text(document["error"])
    if document.get("done") is True:
        accumulator.finish = document.get("done_reason")
    if "done" in document:
        accumulator.read = True
    if "eval_count" in document or "prompt_eval_count" in document:
        accumulator.usage = Usage(
            input_tokens=count(document.get("prompt_eval_count")),
            output_tokens=count(document.get("eval_count")),
        )
