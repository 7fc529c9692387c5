"""Google's ``generateContent`` and ``streamGenerateContent``: Gemini API, Vertex AI, Code Assist.

Without ``alt=sse`` a stream is one JSON array, sent with the content type ``application/json``.
"""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict, as_str, dicts
from pytest_tokenbudget.providers.prompts import prompt_for
from pytest_tokenbudget.records.prompt import Prompt


class GoogleGenerate(BuiltinFormat):
    """Content generation, streamed or not."""

    api = "google.generate_content"

    def recognises(self, request: Request) -> bool:
        """By the method behind the colon of the path."""
        return request.ends(":generateContent", ":streamGenerateContent")

    def url_model(self, request: Request) -> str:
        """The model in the path; a tuned model's or an endpoint's name likewise."""
        return url_model(request)

    def asked_stream(self, request: Request) -> bool:
        """By the path."""
        return request.path.endswith(":streamGenerateContent")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather from the response, or from the chunks of a stream."""
        usage: dict[str, Any] = {}
        for index, document in enumerate(answer.documents):
            held = document.get("response")  # Code Assist wraps the same response
            usage = _chunk(held if isinstance(held, dict) else document, index, accumulator) or usage
        accumulator.usage = usages.google(usage)

    def prompt(self, request: Request) -> Prompt | None:
        """What the model was asked; Code Assist wraps the same request."""
        if request.body is None:
            return None
        held = request.body.get("request")
        body = held if isinstance(held, dict) and "contents" in held else request.body
        return prompt_for(self.api, body, self.url_model(request) or as_str(request.body.get("model")))


def url_model(request: Request) -> str:
    """The model that a Google URL names: the segment before the method."""
    path = request.path
    for marker in ("models", "tunedModels", "endpoints"):
        if f"/{marker}/" in path:
            return segment_after(path, marker).rpartition(":")[0]
    return ""


def _chunk(document: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> dict[str, Any]:
    if not accumulator.model:
        accumulator.model = as_str(document.get("modelVersion"))
        accumulator.id = as_str(document.get("responseId"))
    usage = document.get("usageMetadata")
    candidates = document.get("candidates")
    if candidates is not None or usage is not None:
        accumulator.read = True
    if candidates.__class__ is list:
        for candidate in candidates:
            if candidate.__class__ is dict:
                _candidate(candidate, index, accumulator)
    if "promptFeedback" in document:
        blocked = as_dict(document["promptFeedback"]).get("blockReason")
        if blocked:
            accumulator.read = True
            accumulator.finish = f"block:{blocked}"
    if "error" in document:
        accumulator.error = error_text(document["error"])
    return as_dict(usage)


def _candidate(candidate: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    reason = candidate.get("finishReason")
    if reason and (accumulator.finish is None or candidate.get("index", 0) == 0):
        accumulator.finish = reason
    content = candidate.get("content")
    if content.__class__ is dict:
        for part in dicts(content.get("parts")):
            text = part.get("text")
            if text:
                accumulator.text(text, index)
            if len(part) > 1 or not text:
                _part(part, index, accumulator)


def _part(part: dict[str, Any], index: int, accumulator: ResponseAccumulator) -> None:
    call = as_dict(part.get("functionCall"))
    if call.get("name"):
        accumulator.call(call["name"], call.get("args"), index)
    for piece in dicts(call.get("partialArgs")):  # streamed arguments: parts without a name go on with the last call
        accumulator.text(piece.get("stringValue"), index)
    code = as_dict(part.get("executableCode"))
    if code:
        accumulator.server_tool_calls.append("code_execution")
        accumulator.text(code.get("code"), index)
    server = as_dict(part.get("toolCall"))
    if server:
        accumulator.server_tool_calls.append(as_str(server.get("toolType")).lower() or as_str(server.get("name")))
    if "inlineData" in part and accumulator.first is None:
        accumulator.first = index
