"""Cloudflare's Workers AI by its own path; its OpenAI-compatible one is read as chat completions."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.records.call import Operation
from pytest_tokenbudget.wire import openai_chat, openai_responses
from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text
from pytest_tokenbudget.wire.loose import as_dict, compact, dicts

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

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a result, or from the events of a stream."""
        held = [_held(document) for document in answer.documents]
        if any("choices" in document for document in held):
            openai_chat.walk(held, harvest)
        elif any("output" in document or "sequence_number" in document for document in held):
            openai_responses.walk(held, harvest)
        else:
            _run(held, harvest)
        for document in answer.documents:
            for error in dicts(document.get("errors")):
                harvest.error = error_text(error)


def _held(document: dict[str, Any]) -> dict[str, Any]:
    return as_dict(document.get("result")) or document


def _run(documents: list[dict[str, Any]], harvest: Harvest) -> None:
    calls: openai_chat.Calls = {}
    for index, document in enumerate(documents):
        harvest.read = harvest.read or "response" in document or "tool_calls" in document
        response = document.get("response")
        harvest.text(compact(response) if isinstance(response, dict) else response, index)
        openai_chat.tool_calls(document.get("tool_calls"), 0, index, harvest, calls)
        usage = as_dict(document.get("usage"))
        if usage:
            harvest.usage = usages.openai_chat(usage)
