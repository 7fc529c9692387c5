"""Google generateContent, of the Gemini API and of Vertex AI."""

from __future__ import annotations

import re
from typing import Any

from ledger_server.reply import Asked, Numbers, Reply, split_text
from ledger_server.sse import data
from ledger_server.wires.shape import Wire

PATH = re.compile(r"/models/([^/:]+):(generateContent|streamGenerateContent)$")


def usage(numbers: Numbers) -> dict[str, Any]:
    """Usage as the API counts: thoughts stand beside the candidates, cached content inside the prompt."""
    return {
        "promptTokenCount": numbers.input,
        "candidatesTokenCount": numbers.output - numbers.reasoning,
        "thoughtsTokenCount": numbers.reasoning,
        "cachedContentTokenCount": numbers.cached,
        "totalTokenCount": numbers.total,
    }


def error(status: int, message: str) -> dict[str, Any]:
    """The API's error object."""
    return {"error": {"code": status, "message": message, "status": "UNAVAILABLE"}}


def _chunk(
    parts: list[dict[str, Any]], asked: Asked, model: str, numbers: Numbers | None, *, last: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    if last:
        candidate["finishReason"] = "STOP"
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": model, "responseId": f"r{asked.number}"}
    if numbers:
        body["usageMetadata"] = usage(numbers)
    return body


def _parts(reply: Reply, pieces: int) -> list[dict[str, Any]]:
    thoughts = [{"text": piece, "thought": True} for piece in split_text(reply.reasoning, pieces)]
    texts = [{"text": piece} for piece in split_text(reply.text, pieces)]
    calls = [{"functionCall": {"name": call.name, "args": call.arguments}} for call in reply.tool_calls]
    return [*thoughts, *texts, *calls]


def plain(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A ``GenerateContentResponse``."""
    return _chunk(_parts(reply, 1), asked, model, numbers, last=True)


def events(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """A ``GenerateContentResponse`` for each part; each carries the usage so far."""
    parts = _parts(reply, reply.pieces) or [{"text": ""}]
    return [
        data(_chunk([part], asked, model, numbers, last=index == len(parts) - 1)) for index, part in enumerate(parts)
    ]


def _model(path: str, body: dict[str, Any]) -> str:
    found = PATH.search(path)
    return found[1] if found else "unknown"


GENERATE = Wire(
    "google.generate",
    lambda path: PATH.search(path) is not None,
    plain,
    events,
    error,
    streams=lambda path, body: path.endswith(":streamGenerateContent"),
    model=_model,
)
