"""Cohere's chat, version 2."""

from __future__ import annotations

import json
from typing import Any

from ledger_server.reply import Asked, Numbers, Reply, split_text
from ledger_server.sse import event
from ledger_server.wires.shape import Wire


def usage(numbers: Numbers) -> dict[str, Any]:
    """Usage as the API counts: ``tokens`` is what the model read, ``billed_units`` what is paid for."""
    return {
        "billed_units": {"input_tokens": numbers.input // 2, "output_tokens": numbers.output},
        "tokens": {"input_tokens": numbers.input, "output_tokens": numbers.output},
        "cached_tokens": numbers.cached,
    }


def error(status: int, message: str) -> dict[str, Any]:
    """The API's error object."""
    return {"message": message}


def _tools(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in reply.tool_calls
    ]


def plain(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A chat response."""
    message: dict[str, Any] = {"role": "assistant"}
    if reply.text:
        message["content"] = [{"type": "text", "text": reply.text}]
    if reply.tool_calls:
        message["tool_calls"] = _tools(reply)
    body: dict[str, Any] = {
        "id": f"c{asked.number}",
        "finish_reason": "TOOL_CALL" if reply.tool_calls else "COMPLETE",
        "message": message,
    }
    if numbers:
        body["usage"] = usage(numbers)
    return body


def events(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """From ``message-start`` to ``message-end``, which carries the usage."""
    sequence: list[dict[str, Any]] = [
        {"type": "message-start", "id": f"c{asked.number}", "delta": {"message": {"role": "assistant", "content": []}}}
    ]
    if reply.text:
        content = {"type": "text", "text": ""}
        sequence.append({"type": "content-start", "index": 0, "delta": {"message": {"content": content}}})
        sequence += [
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
            for piece in split_text(reply.text, reply.pieces)
        ]
        sequence.append({"type": "content-end", "index": 0})
    for index, tool in enumerate(_tools(reply)):
        sequence.append({"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": tool}}})
        sequence.append({"type": "tool-call-end", "index": index})
    end: dict[str, Any] = {"finish_reason": "TOOL_CALL" if reply.tool_calls else "COMPLETE"}
    if numbers:
        end["usage"] = usage(numbers)
    return [event(value) for value in (*sequence, {"type": "message-end", "id": f"c{asked.number}", "delta": end})]


CHAT = Wire("cohere.chat", lambda path: path.endswith("/v2/chat"), plain, events, error)
