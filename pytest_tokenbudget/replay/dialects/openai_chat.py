"""OpenAI chat completions (reference: platform.openai.com/docs/api-reference/chat, as of 2026-11-24)."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.replay.asked import JsonObject, flat_text
from pytest_tokenbudget.replay.dialects.shape import (
    Answer,
    Dialect,
    Event,
    arguments,
    data_event,
    dicts,
    pieces,
    tool_names,
)

CREATED = 1_700_000_000
"""A fixed ``created``: scripted answers are the same in every run."""

FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}


def usage(told: Usage) -> JsonObject:
    """``usage``: parts are contained in their whole."""
    return {
        "prompt_tokens": told.input_tokens or 0,
        "completion_tokens": told.output_tokens or 0,
        "total_tokens": told.total_tokens or 0,
        "prompt_tokens_details": {"cached_tokens": told.cached_input_tokens or 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": told.reasoning_tokens or 0, "audio_tokens": 0},
    }


def error(status: int, message: str) -> JsonObject:
    """The error object."""
    kind = {429: "rate_limit_error", 401: "authentication_error", 400: "invalid_request_error"}.get(
        status, "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def recognises(path: str, body: JsonObject) -> bool:
    """By path, as every compatible server has it."""
    return path.rstrip("/").endswith("/chat/completions") and isinstance(body.get("messages"), list)


def read(path: str, body: JsonObject) -> dict[str, Any]:
    """Model, stream, messages and tools."""
    return {
        "model": str(body.get("model") or ""),
        "stream": body.get("stream") is True,
        "messages": tuple((str(m.get("role")), flat_text(m.get("content"))) for m in dicts(body.get("messages"))),
        "tools": tool_names(body.get("tools"), "function", "name"),
    }


def _head(kind: str, answer: Answer) -> JsonObject:
    return {
        "id": f"chatcmpl-{answer.asked.number}",
        "object": kind,
        "created": CREATED,
        "model": answer.model,
        "system_fingerprint": "scripted",
    }


def _tools(answer: Answer) -> list[JsonObject]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments(call)}}
        for call in answer.reply.calls
    ]


def plain(answer: Answer) -> JsonObject:
    """A ``chat.completion``."""
    message: JsonObject = {"role": "assistant", "content": answer.reply.text or None, "refusal": None}
    if answer.reply.reasoning:
        message["reasoning_content"] = answer.reply.reasoning
    if answer.reply.calls:
        message["tool_calls"] = _tools(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    body = {**_head("chat.completion", answer), "choices": [choice]}
    if answer.usage is not None:
        body["usage"] = usage(answer.usage)
    return body


def _finish(answer: Answer) -> str:
    return FINISH.get(answer.finish, answer.finish)


def events(answer: Answer) -> list[Event]:
    """Chunks, the usage chunk where ``stream_options.include_usage`` asks for it, and ``[DONE]``."""
    head = _head("chat.completion.chunk", answer)

    def chunk(delta: JsonObject, written: int = 0, finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data_event({**head, "choices": [choice]}, written)

    written = [chunk({"role": "assistant", "content": ""})]
    written += [chunk({"reasoning_content": piece}, len(piece)) for piece in pieces(answer.reply.reasoning)]
    written += [chunk({"content": piece}, len(piece)) for piece in pieces(answer.reply.text)]
    for index, tool in enumerate(_tools(answer)):
        begun = {**tool, "index": index, "function": {"name": tool["function"]["name"], "arguments": ""}}
        written.append(chunk({"tool_calls": [begun]}, len(tool["function"]["name"])))
        written += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, len(piece))
            for piece in pieces(tool["function"]["arguments"])
        ]
    written.append(chunk({}, finish=_finish(answer)))
    options = answer.asked.body.get("stream_options")
    if answer.usage is not None and isinstance(options, dict) and options.get("include_usage"):
        written.append(data_event({**head, "choices": [], "usage": usage(answer.usage)}))
    return [*written, Event(b"data: [DONE]\n\n")]


DIALECT = Dialect("openai.chat", recognises, read, plain, events, error)
