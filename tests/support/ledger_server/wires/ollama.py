"""Ollama's own API: lines of JSON."""

from __future__ import annotations

from typing import Any

from ledger_server.reply import Asked, Numbers, Reply, split_text
from ledger_server.sse import line
from ledger_server.wires.shape import Wire

CREATED = "2026-01-01T00:00:00Z"


def error(status: int, message: str) -> dict[str, Any]:
    """The API's error object."""
    return {"error": message}


def _end(numbers: Numbers | None) -> dict[str, Any]:
    end: dict[str, Any] = {"done": True, "done_reason": "stop"}
    if numbers:
        end |= {"prompt_eval_count": numbers.input, "eval_count": numbers.output, "total_duration": 1000}
    return end


def _message(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.tool_calls:
        message["tool_calls"] = [{"function": {"name": c.name, "arguments": c.arguments}} for c in reply.tool_calls]
    return message


def plain_chat(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A chat response."""
    return {"model": model, "created_at": CREATED, "message": _message(reply), **_end(numbers)}


def chat_lines(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """A line for each piece, the last with the counts."""
    head = {"model": model, "created_at": CREATED}
    lines = [
        line({**head, "message": {"role": "assistant", "content": piece}, "done": False})
        for piece in split_text(reply.text, reply.pieces)
    ]
    if reply.tool_calls:
        lines.append(line({**head, "message": {**_message(reply), "content": ""}, "done": False}))
    return [*lines, line({**head, "message": {"role": "assistant", "content": ""}, **_end(numbers)})]


def plain_generate(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A generate response."""
    return {"model": model, "created_at": CREATED, "response": reply.text, **_end(numbers)}


def generate_lines(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """A line for each piece, the last with the counts."""
    head = {"model": model, "created_at": CREATED}
    pieces = split_text(reply.text, reply.pieces)
    lines = [line({**head, "response": piece, "done": False}) for piece in pieces]
    return [*lines, line({**head, "response": "", **_end(numbers)})]


def _streams(path: str, body: dict[str, Any]) -> bool:
    return body.get("stream") is not False  # Ollama streams unless told not to


LINES = "application/x-ndjson"
CHAT = Wire(
    "ollama.chat",
    lambda path: path.endswith("/api/chat"),
    plain_chat,
    chat_lines,
    error,
    frame_error=line,
    stream_type=LINES,
    streams=_streams,
)
GENERATE = Wire(
    "ollama.generate",
    lambda path: path.endswith("/api/generate"),
    plain_generate,
    generate_lines,
    error,
    frame_error=line,
    stream_type=LINES,
    streams=_streams,
)
