"""OpenAI Responses."""

from __future__ import annotations

import json
from typing import Any

from ledger_server.reply import Asked, Numbers, Reply, split_text
from ledger_server.sse import event
from ledger_server.wires.openai_chat import error
from ledger_server.wires.shape import Wire


def _output(reply: Reply) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.reasoning:
        items.append(
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": reply.reasoning}]}
        )
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
    items += [
        {
            "type": "function_call",
            "id": f"fc_{call.id}",
            "call_id": call.id,
            "name": call.name,
            "arguments": json.dumps(call.arguments),
            "status": "completed",
        }
        for call in reply.tool_calls
    ]
    return items


def plain(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A ``response``."""
    body: dict[str, Any] = {
        "id": f"resp_{asked.number}",
        "object": "response",
        "created_at": 1700000000,
        "status": "completed",
        "model": model,
        "output": _output(reply),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": asked.body.get("tools") or [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": None,
    }
    if numbers:
        body["usage"] = {
            "input_tokens": numbers.input,
            "input_tokens_details": {"cached_tokens": numbers.cached, "cache_write_tokens": numbers.cache_write},
            "output_tokens": numbers.output,
            "output_tokens_details": {"reasoning_tokens": numbers.reasoning},
            "total_tokens": numbers.total,
        }
    return body


def _item_events(index: int, item: dict[str, Any], pieces: int) -> list[dict[str, Any]]:
    where = {"output_index": index, "item_id": item["id"]}
    if item["type"] == "message":
        text = item["content"][0]["text"]
        empty = {"type": "output_text", "text": "", "annotations": []}
        place = {**where, "content_index": 0}
        inner = [{"type": "response.content_part.added", **place, "part": empty}]
        inner += [
            {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
            for piece in split_text(text, pieces)
        ]
        inner.append({"type": "response.output_text.done", **place, "text": text, "logprobs": []})
        inner.append({"type": "response.content_part.done", **place, "part": item["content"][0]})
        started = {**item, "status": "in_progress", "content": []}
    elif item["type"] == "function_call":
        kind = "response.function_call_arguments"
        inner = [{"type": f"{kind}.delta", **where, "delta": item["arguments"]}]
        inner.append({"type": f"{kind}.done", **where, "arguments": item["arguments"], "name": item["name"]})
        started = {**item, "status": "in_progress", "arguments": ""}
    else:
        place = {**where, "summary_index": 0}
        thought = item["summary"][0]["text"]
        inner = [{"type": "response.reasoning_summary_text.delta", **place, "delta": thought}]
        inner.append({"type": "response.reasoning_summary_text.done", **place, "text": thought})
        started = {**item, "summary": []}
    added = {"type": "response.output_item.added", "output_index": index, "item": started}
    return [added, *inner, {"type": "response.output_item.done", "output_index": index, "item": item}]


def events(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """From ``response.created`` to ``response.completed``."""
    whole = plain(asked, reply, model, numbers)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    sequence: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(whole["output"]):
        sequence += _item_events(index, item, reply.pieces)
    sequence.append({"type": "response.completed", "response": whole})
    return [event({**value, "sequence_number": number}) for number, value in enumerate(sequence)]


RESPONSES = Wire("openai.responses", lambda path: path.endswith("/responses"), plain, events, error)
