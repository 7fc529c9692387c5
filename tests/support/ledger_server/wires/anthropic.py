"""Anthropic messages."""

from __future__ import annotations

import json
from typing import Any

from ledger_server.reply import Asked, Numbers, Reply, split_text
from ledger_server.sse import event
from ledger_server.wires.shape import Wire


def usage(numbers: Numbers) -> dict[str, Any]:
    """Usage as the API counts: ``input_tokens`` leaves cache reads and writes out."""
    return {
        "input_tokens": numbers.uncached,
        "cache_creation_input_tokens": numbers.cache_write,
        "cache_read_input_tokens": numbers.cached,
        "output_tokens": numbers.output,
    }


def error(status: int, message: str) -> dict[str, Any]:
    """The API's error object."""
    kind = {429: "rate_limit_error", 529: "overloaded_error"}.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": "c2ln"})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in reply.tool_calls
    ]
    return blocks


def plain(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A ``message``."""
    body: dict[str, Any] = {
        "id": f"msg_{asked.number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _blocks(reply),
        "stop_reason": "tool_use" if reply.tool_calls else "end_turn",
        "stop_sequence": None,
    }
    if numbers:
        body["usage"] = usage(numbers)
    return body


def _block_events(index: int, block: dict[str, Any], pieces: int) -> list[dict[str, Any]]:
    if block["type"] == "text":
        empty: dict[str, Any] = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in split_text(block["text"], pieces)]
    elif block["type"] == "thinking":
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in split_text(block["thinking"], pieces)]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        empty = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def documents(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[dict[str, Any]]:
    """From ``message_start`` (with the input's usage) to ``message_stop`` (the output's usage just before)."""
    whole = plain(asked, reply, model, numbers)
    begun = {**whole, "content": [], "stop_reason": None}
    if numbers:
        begun["usage"] = {**usage(numbers), "output_tokens": 1}
    sequence: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        sequence += _block_events(index, block, reply.pieces)
    delta: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
    }
    if numbers:
        delta["usage"] = {"output_tokens": numbers.output}
    return [*sequence, delta, {"type": "message_stop"}]


def events(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """The documents as server-sent events."""
    return [event(value) for value in documents(asked, reply, model, numbers)]


MESSAGES = Wire("anthropic.messages", lambda path: path.endswith("/messages"), plain, events, error, frame_error=event)
