"""OpenAI Responses (reference: platform.openai.com/docs/api-reference/responses, as of 2026-11-24)."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.replay.asked import JsonObject, flat_text
from pytest_tokenbudget.replay.dialects.openai_chat import CREATED, error
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


def usage(told: Usage) -> JsonObject:
    """``usage``: parts are contained in their whole."""
    return {
        "input_tokens": told.input_tokens or 0,
        "input_tokens_details": {
            "cached_tokens": told.cached_input_tokens or 0,
            "cache_write_tokens": told.cache_write_tokens or 0,
        },
        "output_tokens": told.output_tokens or 0,
        "output_tokens_details": {"reasoning_tokens": told.reasoning_tokens or 0},
        "total_tokens": told.total_tokens or 0,
    }


def recognises(path: str, body: JsonObject) -> bool:
    """By path."""
    return path.rstrip("/").endswith("/responses") and ("input" in body or "prompt" in body)


def _messages(body: JsonObject) -> tuple[tuple[str, str], ...]:
    found = [("system", str(body["instructions"]))] if body.get("instructions") else []
    given = body.get("input")
    if isinstance(given, str):
        return (*found, ("user", given))
    for item in dicts(given):
        kind = str(item.get("type") or "message")
        role = str(item.get("role") or ("tool" if kind.endswith("_output") else "assistant"))
        found.append((role, flat_text(item)))
    return tuple(found)


def read(path: str, body: JsonObject) -> dict[str, Any]:
    """Model, stream, messages and tools."""
    return {
        "model": str(body.get("model") or ""),
        "stream": body.get("stream") is True,
        "messages": _messages(body),
        "tools": tool_names(body.get("tools"), "name"),
    }


def _output(answer: Answer) -> list[JsonObject]:
    number, reply = answer.asked.number, answer.reply
    items: list[JsonObject] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{number}", "summary": summary})
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
        items.append({**message, "content": [part]})
    items += [
        {
            "type": "function_call",
            "id": f"fc_{call.id}",
            "call_id": call.id,
            "name": call.name,
            "arguments": arguments(call),
            "status": "completed",
        }
        for call in reply.calls
    ]
    return items


def plain(answer: Answer) -> JsonObject:
    """A ``response``."""
    cut_short = answer.finish in ("length", "content_filter")
    reason = "max_output_tokens" if answer.finish == "length" else answer.finish
    body = answer.asked.body
    return {
        "id": f"resp_{answer.asked.number}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if cut_short else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if cut_short else None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": answer.model,
        "output": _output(answer),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "usage": None if answer.usage is None else usage(answer.usage),
    }


Sized = tuple[JsonObject, int]


def _message_events(place: JsonObject, item: JsonObject) -> tuple[JsonObject, list[Sized]]:
    where = {**place, "content_index": 0}
    part = item["content"][0]
    deltas: list[Sized] = [
        ({"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}, len(piece))
        for piece in pieces(part["text"])
    ]
    begun = ({"type": "response.content_part.added", **where, "part": {**part, "text": ""}}, 0)
    done = ({"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}, 0)
    ended = ({"type": "response.content_part.done", **where, "part": part}, 0)
    return {**item, "status": "in_progress", "content": []}, [begun, *deltas, done, ended]


def _call_events(place: JsonObject, item: JsonObject) -> tuple[JsonObject, list[Sized]]:
    kind = "response.function_call_arguments"
    deltas: list[Sized] = [
        ({"type": f"{kind}.delta", **place, "delta": piece}, len(piece)) for piece in pieces(item["arguments"])
    ]
    done = ({"type": f"{kind}.done", **place, "arguments": item["arguments"], "name": item["name"]}, 0)
    return {**item, "status": "in_progress", "arguments": ""}, [*deltas, done]


def _reasoning_events(place: JsonObject, item: JsonObject) -> tuple[JsonObject, list[Sized]]:
    where = {**place, "summary_index": 0}
    kind = "response.reasoning_summary_text"
    part = item["summary"][0]
    added = ({"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}, 0)
    deltas: list[Sized] = [
        ({"type": f"{kind}.delta", **where, "delta": piece}, len(piece)) for piece in pieces(part["text"])
    ]
    done = ({"type": f"{kind}.done", **where, "text": part["text"]}, 0)
    ended = ({"type": "response.reasoning_summary_part.done", **where, "part": part}, 0)
    return {**item, "summary": []}, [added, *deltas, done, ended]


_WRITERS = {"message": _message_events, "function_call": _call_events, "reasoning": _reasoning_events}


def events(answer: Answer) -> list[Event]:
    """From ``response.created`` to ``response.completed``, numbered."""
    whole = plain(answer)
    begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    sequence: list[Sized] = [
        ({"type": "response.created", "response": begun}, 0),
        ({"type": "response.in_progress", "response": begun}, 0),
    ]
    for index, item in enumerate(whole["output"]):
        place = {"item_id": item["id"], "output_index": index}
        empty, inner = _WRITERS[item["type"]](place, item)
        sequence.append(({"type": "response.output_item.added", "output_index": index, "item": empty}, 0))
        sequence += inner
        sequence.append(({"type": "response.output_item.done", "output_index": index, "item": item}, 0))
    last = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
    sequence.append(({"type": last, "response": whole}, 0))
    return [
        named_event({**value, "sequence_number": number}, written) for number, (value, written) in enumerate(sequence)
    ]


DIALECT = Dialect("openai.responses", recognises, read, plain, events, error)
