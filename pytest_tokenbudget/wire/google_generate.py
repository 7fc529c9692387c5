"""Google's ``generateContent`` and ``streamGenerateContent``: Gemini API, Vertex AI, Code Assist.

Without ``alt=sse`` a stream is one JSON array, sent with the content type ``application/json``.
"""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text, segment_after
from pytest_tokenbudget.wire.loose import as_dict, as_str, dicts
from pytest_tokenbudget.wire.prompts import prompt_for


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

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from the response, or from the chunks of a stream."""
        usage: dict[str, Any] = {}
        for index, document in enumerate(answer.documents):
            held = document.get("response")  # Code Assist wraps the same response
            usage = _chunk(held if isinstance(held, dict) else document, index, harvest) or usage
        harvest.usage = usages.google(usage)

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


def _chunk(document: dict[str, Any], index: int, harvest: Harvest) -> dict[str, Any]:
    if not harvest.model:
        harvest.model = as_str(document.get("modelVersion"))
        harvest.id = as_str(document.get("responseId"))
    usage = document.get("usageMetadata")
    candidates = document.get("candidates")
    if candidates is not None or usage is not None:
        harvest.read = True
    if candidates.__class__ is list:
        for candidate in candidates:
            if candidate.__class__ is dict:
                _candidate(candidate, index, harvest)
    if "promptFeedback" in document:
        blocked = as_dict(document["promptFeedback"]).get("blockReason")
        if blocked:
            harvest.read = True
            harvest.finish = f"block:{blocked}"
    if "error" in document:
        harvest.error = error_text(document["error"])
    return as_dict(usage)


def _candidate(candidate: dict[str, Any], index: int, harvest: Harvest) -> None:
    reason = candidate.get("finishReason")
    if reason and (harvest.finish is None or candidate.get("index", 0) == 0):
        harvest.finish = reason
    content = candidate.get("content")
    if content.__class__ is dict:
        for part in dicts(content.get("parts")):
            text = part.get("text")
            if text:
                harvest.text(text, index)
            if len(part) > 1 or not text:
                _part(part, index, harvest)


def _part(part: dict[str, Any], index: int, harvest: Harvest) -> None:
    call = as_dict(part.get("functionCall"))
    if call.get("name"):
        harvest.call(call["name"], call.get("args"), index)
    for piece in dicts(call.get("partialArgs")):  # streamed arguments: parts without a name go on with the last call
        harvest.text(piece.get("stringValue"), index)
    code = as_dict(part.get("executableCode"))
    if code:
        harvest.server_tool_calls.append("code_execution")
        harvest.text(code.get("code"), index)
    server = as_dict(part.get("toolCall"))
    if server:
        harvest.server_tool_calls.append(as_str(server.get("toolType")).lower() or as_str(server.get("name")))
    if "inlineData" in part and harvest.first is None:
        harvest.first = index
