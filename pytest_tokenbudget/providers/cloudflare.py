"""Cloudflare's Workers AI by its own path; its OpenAI-compatible one is read as chat completions."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import openai_chat, openai_responses
from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, compact, dicts
from pytest_tokenbudget.records.call import Operation

_MODELS = ("/@cf/", "/@hf/")


class CloudflareRun(BuiltinFormat):
    """A run of a model. The newer ones answer in OpenAI's dialects inside the same frame."""

    api = "cloudflare.run"

    def recognises(self, request: Request) -> bool:
        """By ``/ai/run/`` or the model in the path, and by what a language model is asked."""
        path = request.path
        if request.method != "POST" or not ("/ai/run/" in path or any(model in path for model in _MODELS)):
            return False
        return request.body is not None and any(name in request.body for name in ("messages", "prompt", "input"))

    def url_model(self, request: Request) -> str:
        """The model in the path, ``@cf/meta/llama-3.1-8b-instruct``."""
        _, found, model = request.path.partition("/@")
        return f"@{model}" if found else request.path.partition("/ai/run/")[2]

    def operation_of(self, request: Request, answer: Answer) -> Operation:
        """A prompt that no text answers was for a model of images."""
        if "prompt" not in (request.body or {}):
            return "chat"
        return "text_completion" if any("response" in _held(found) for found in answer.documents) else "other"

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from a result, or from the events of a stream."""
        held = [_held(document) for document in answer.documents]
        if any("choices" in document for document in held):
            openai_chat.walk(held, accumulator)
        elif any("output" in document or "sequence_number" in document for document in held):
            openai_responses.walk(held, accumulator)
        else:
            _run(held, accumulator)
        for document in answer.documents:
            for error in dicts(document.get("errors")):
                accumulator.error = error_text(error)


def _held(document: dict[str, Any]) -> dict[str, Any]:
    return as_dict(document.get("result")) or document


def _run(documents: list[dict[str, Any]], accumulator: ResponseAccumulator) -> None:
    calls: openai_chat.Calls = {}
    for index, document in enumerate(documents):
        accumulator.read = accumulator.read or "response" in document or "tool_calls" in document
        response = document.get("response")
        accumulator.text(compact(response) if isinstance(response, dict) else response, index)
        openai_chat.tool_calls(document.get("tool_calls"), 0, index, accumulator, calls)
        usage = as_dict(document.get("usage"))
        if usage:
            accumulator.usage = usages.openai_chat(usage)
