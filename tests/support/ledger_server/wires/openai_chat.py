"""OpenAI chat completions and embeddings."""

from __future__ import annotations

import json
from typing import Any

from ledger_server.reply import Asked, Numbers, Reply, split_text
from ledger_server.sse import data
from ledger_server.wires.shape import Wire


def usage(numbers: Numbers) -> dict[str, Any]:
    """Usage as the API counts: cached and reasoning are parts."""
    return {
        "prompt_tokens": numbers.input,
        "completion_tokens": numbers.output,
        "total_tokens": numbers.total,
        "prompt_tokens_details": {"cached_tokens": numbers.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": numbers.reasoning, "audio_tokens": 0},
    }


def error(status: int, message: str) -> dict[str, Any]:
    """The API's error object."""
    return {"error": {"message": message, "type": "server_error", "param": None, "code": str(status)}}


def finish(reply: Reply) -> str:
    """Finish reason."""
    return "tool_calls" if reply.tool_calls else "stop"


def _head(kind: str, asked: Asked, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{asked.number}", "object": kind, "created": 1700000000, "model": model}


def _tools(reply: Reply, *, indexed: bool) -> list[dict[str, Any]]:
    return [
        {
            **({"index": index} if indexed else {}),
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(reply.tool_calls)
    ]


def plain(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A ``chat.completion``."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = _tools(reply, indexed=False)
    body = _head("chat.completion", asked, model)
    body["choices"] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish(reply)}]
    if numbers:
        body["usage"] = usage(numbers)
    return body


def wants_usage(asked: Asked) -> bool:
    """Whether ``stream_options.include_usage`` was asked for."""
    return bool((asked.body.get("stream_options") or {}).get("include_usage"))


def events(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """Chunks, the usage chunk where it was asked for, and ``[DONE]``."""
    head = _head("chat.completion.chunk", asked, model)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in split_text(reply.reasoning, reply.pieces)]
    deltas += [{"content": piece} for piece in split_text(reply.text, reply.pieces)]
    deltas += [{"tool_calls": [tool]} for tool in _tools(reply, indexed=True)]
    chunks = [data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    chunks.append(data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish(reply)}]}))
    if numbers and wants_usage(asked):
        chunks.append(data({**head, "choices": [], "usage": usage(numbers)}))
    return [*chunks, b"data: [DONE]\n\n"]


def embeddings(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A list of two-dimensional embeddings."""
    given = asked.body.get("input")
    inputs = given if isinstance(given, list) and given and isinstance(given[0], str | list) else [given]
    # The SDK asks for base64 by default; these are the two float32 values 0.0 and 1.0.
    vector: object = "AAAAAAAAgD8=" if asked.body.get("encoding_format") == "base64" else [0.0, 1.0]
    body: dict[str, Any] = {
        "object": "list",
        "model": model,
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(inputs))],
    }
    if numbers:
        body["usage"] = {"prompt_tokens": numbers.input, "total_tokens": numbers.input}
    return body


CHAT = Wire("openai.chat", lambda path: path.endswith("/chat/completions"), plain, events, error, told=wants_usage)
EMBEDDINGS = Wire(
    "openai.embeddings", lambda path: path.endswith("/embeddings"), embeddings, events, error, streams=lambda *_: False
)
