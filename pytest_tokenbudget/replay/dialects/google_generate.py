"""Google generateContent, of the Gemini API and Vertex AI (reference: ai.google.dev/api, as of 2026-11-24)."""

from __future__ import annotations

import re
from typing import Any

from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.replay.asked import JsonObject, flat_text
from pytest_tokenbudget.replay.dialects.shape import Answer, Dialect, Event, data_event, dicts, pieces
from pytest_tokenbudget.replay.replies import dump

PATH = re.compile(r"/models/([^/:]+):(generateContent|streamGenerateContent)$")
FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}


def usage(told: Usage) -> JsonObject:
    """``usageMetadata``: thoughts stand beside the candidates, cached content inside the prompt."""
    reasoning = told.reasoning_tokens or 0
    found = {
        "promptTokenCount": told.input_tokens or 0,
        "candidatesTokenCount": max(0, (told.output_tokens or 0) - reasoning),
        "totalTokenCount": told.total_tokens or 0,
    }
    if reasoning:
        found["thoughtsTokenCount"] = reasoning
    if told.cached_input_tokens:
        found["cachedContentTokenCount"] = told.cached_input_tokens
    return found


def error(status: int, message: str) -> JsonObject:
    """The error object."""
    return {"error": {"code": status, "message": message, "status": STATUS.get(status, "UNAVAILABLE")}}


def recognises(path: str, body: JsonObject) -> bool:
    """By path."""
    return PATH.search(path) is not None


def _system(body: JsonObject) -> list[tuple[str, str]]:
    given = body.get("systemInstruction", body.get("system_instruction"))
    return [("system", flat_text(given))] if given else []


def _role(content: JsonObject) -> str:
    parts = dicts(content.get("parts"))
    if any("functionResponse" in part or "function_response" in part for part in parts):
        return "tool"
    return {"model": "assistant"}.get(str(content.get("role")), "user")


def _tools(body: JsonObject) -> tuple[str, ...]:
    names: list[str] = []
    for tool in dicts(body.get("tools")):
        declared = dicts(tool.get("functionDeclarations", tool.get("function_declarations")))
        names += [str(one.get("name")) for one in declared] if declared else [str(key) for key in tool]
    return tuple(names)


def read(path: str, body: JsonObject) -> dict[str, Any]:
    """Model, stream, messages and tools. Model and stream stand in the path."""
    found = PATH.search(path)
    contents = [(_role(content), flat_text(content.get("parts"))) for content in dicts(body.get("contents"))]
    return {
        "model": found[1] if found else "",
        "stream": found is not None and found[2] == "streamGenerateContent",
        "messages": (*_system(body), *contents),
        "tools": _tools(body),
    }


def _body(answer: Answer, parts: list[JsonObject], *, last: bool) -> JsonObject:
    candidate: JsonObject = {"index": 0, "content": {"role": "model", "parts": parts}}
    if last:
        candidate["finishReason"] = FINISH.get(answer.finish, answer.finish.upper())
    body: JsonObject = {"candidates": [candidate], "modelVersion": answer.model}
    body["responseId"] = f"response-{answer.asked.number}"
    if answer.usage is not None:
        body["usageMetadata"] = usage(answer.usage)
    return body


def _calls(answer: Answer) -> list[tuple[JsonObject, int]]:
    return [
        (
            {"functionCall": {"id": call.id, "name": call.name, "args": dict(call.arguments)}},
            len(call.name) + len(dump(call.arguments)),
        )
        for call in answer.reply.calls
    ]


def plain(answer: Answer) -> JsonObject:
    """A ``GenerateContentResponse``."""
    reply = answer.reply
    parts: list[JsonObject] = [{"text": reply.reasoning, "thought": True}] if reply.reasoning else []
    parts += [{"text": reply.text}] if reply.text or not reply.calls else []
    return _body(answer, [*parts, *(part for part, _ in _calls(answer))], last=True)


def events(answer: Answer) -> list[Event]:
    """One ``GenerateContentResponse`` a part; each carries the usage."""
    sized: list[tuple[JsonObject, int]] = [
        ({"text": piece, "thought": True}, len(piece)) for piece in pieces(answer.reply.reasoning)
    ]
    sized += [({"text": piece}, len(piece)) for piece in pieces(answer.reply.text)]
    sized += _calls(answer)
    sized = sized or [({"text": ""}, 0)]
    return [
        data_event(_body(answer, [part], last=number == len(sized)), size)
        for number, (part, size) in enumerate(sized, start=1)
    ]


DIALECT = Dialect("google.generate", recognises, read, plain, events, error)
