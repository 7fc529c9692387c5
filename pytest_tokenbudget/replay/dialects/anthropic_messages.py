"""Anthropic messages (reference: docs.anthropic.com/en/api/messages, as of 2026-11-24)."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.replay.asked import JsonObject, flat_text
from pytest_tokenbudget.replay.dialects.shape import (
    Answer,
    Dialect,
    Event,
    arguments,
    dicts,
    named_event,
    pieces,
    tool_names,
)

FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
SIGNATURE = "c2NyaXB0ZWQ="


def usage(told: Usage) -> JsonObject:
    """``usage``: cache reads and writes stand beside ``input_tokens``, not inside."""
    cached, wrote = told.cached_input_tokens or 0, told.cache_write_tokens or 0
    return {
        "input_tokens": max(0, (told.input_tokens or 0) - cached - wrote),
        "cache_creation_input_tokens": wrote,
        "cache_read_input_tokens": cached,
        "output_tokens": told.output_tokens or 0,
    }


def error(status: int, message: str) -> JsonObject:
    """The error object."""
    kind = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kind.get(status, "api_error"), "message": message}}


def recognises(path: str, body: JsonObject) -> bool:
    """By path, as the API and its proxies have it."""
    return path.rstrip("/").endswith("/messages") and isinstance(body.get("messages"), list)


def _messages(body: JsonObject) -> tuple[tuple[str, str], ...]:
    found = [("system", flat_text(body["system"]))] if body.get("system") else []
    for message in dicts(body.get("messages")):
        content = message.get("content")
        results = any(block.get("type") == "tool_result" for block in dicts(content))
        found.append(("tool" if results else str(message.get("role")), flat_text(content)))
    return tuple(found)


def read(path: str, body: JsonObject) -> dict[str, Any]:
    """Model, stream, messages and tools."""
    return {
        "model": str(body.get("model") or ""),
        "stream": body.get("stream") is True,
        "messages": _messages(body),
        "tools": tool_names(body.get("tools"), "name"),
    }


def _blocks(answer: Answer) -> list[JsonObject]:
    reply = answer.reply
    blocks: list[JsonObject] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": SIGNATURE})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)} for call in reply.calls
    ]
    return blocks


def plain(answer: Answer) -> JsonObject:
    """A ``message``. Where no usage is to be told it is left out, which the SDK accepts."""
    body: JsonObject = {
        "id": f"msg_{answer.asked.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": _blocks(answer),
        "stop_reason": FINISH.get(answer.finish, answer.finish),
        "stop_sequence": None,
    }
    if answer.usage is not None:
        body["usage"] = usage(answer.usage)
    return body


def _deltas(block: JsonObject, written: str) -> tuple[JsonObject, list[tuple[JsonObject, int]]]:
    """The empty block with which it begins, and its deltas with their sizes."""
    if block["type"] == "text":
        empty = {**block, "text": ""}
        return empty, [({"type": "text_delta", "text": piece}, len(piece)) for piece in pieces(block["text"])]
    if block["type"] == "thinking":
        empty = {**block, "thinking": "", "signature": ""}
        found = [({"type": "thinking_delta", "thinking": piece}, len(piece)) for piece in pieces(block["thinking"])]
        return empty, [*found, ({"type": "signature_delta", "signature": SIGNATURE}, 0)]
    empty = {**block, "input": {}}
    return empty, [({"type": "input_json_delta", "partial_json": piece}, len(piece)) for piece in pieces(written)]


def events(answer: Answer) -> list[Event]:
    """From ``message_start`` (the input's usage) to ``message_stop`` (the output's usage just before)."""
    whole = plain(answer)
    begun = {**whole, "content": [], "stop_reason": None}
    if answer.usage is not None:
        begun["usage"] = {**usage(answer.usage), "output_tokens": 1}
    written = [named_event({"type": "message_start", "message": begun}), named_event({"type": "ping"})]
    jsons = iter([arguments(call) for call in answer.reply.calls])
    for index, block in enumerate(whole["content"]):
        empty, deltas = _deltas(block, next(jsons) if block["type"] == "tool_use" else "")
        written.append(named_event({"type": "content_block_start", "index": index, "content_block": empty}))
        written += [
            named_event({"type": "content_block_delta", "index": index, "delta": delta}, size) for delta, size in deltas
        ]
        written.append(named_event({"type": "content_block_stop", "index": index}))
    ended: JsonObject = {"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}}
    if answer.usage is not None:
        ended["usage"] = {"output_tokens": answer.usage.output_tokens or 0}
    return [*written, named_event(ended), named_event({"type": "message_stop"})]


DIALECT = Dialect("anthropic.messages", recognises, read, plain, events, error)
