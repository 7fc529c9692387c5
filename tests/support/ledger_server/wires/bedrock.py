"""Amazon Bedrock's Converse, and InvokeModel with a model of Anthropic's; each whole and as a binary event stream."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from ledger_server.reply import Asked, Numbers, Reply, split_text
from ledger_server.sse import aws, dumps
from ledger_server.wires import anthropic
from ledger_server.wires.shape import Wire

PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream|invoke|invoke-with-response-stream)$")


def usage(numbers: Numbers) -> dict[str, Any]:
    """Usage as the API counts: ``inputTokens`` leaves cache reads and writes out, ``totalTokens`` holds them."""
    return {
        "inputTokens": numbers.uncached,
        "outputTokens": numbers.output,
        "totalTokens": numbers.total,
        "cacheReadInputTokens": numbers.cached,
        "cacheWriteInputTokens": numbers.cache_write,
    }


def error(status: int, message: str) -> dict[str, Any]:
    """The API's error object."""
    return {"message": message}


def _stop(reply: Reply) -> str:
    return "tool_use" if reply.tool_calls else "end_turn"


def plain(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> dict[str, Any]:
    """A Converse response."""
    content: list[dict[str, Any]] = [{"text": reply.text}] if reply.text else []
    content += [
        {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}} for call in reply.tool_calls
    ]
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _stop(reply),
        "metrics": {"latencyMs": 1},
    }
    if numbers:
        body["usage"] = usage(numbers)
    return body


def events(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """From ``messageStart`` to ``metadata``, which carries the usage."""
    frames = [aws("messageStart", {"role": "assistant"})]
    index = 0
    if reply.text:
        frames += [
            aws("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": piece}})
            for piece in split_text(reply.text, reply.pieces)
        ]
        frames.append(aws("contentBlockStop", {"contentBlockIndex": index}))
        index += 1
    for call in reply.tool_calls:
        tool = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        arguments = {"toolUse": {"input": json.dumps(call.arguments)}}
        frames.append(aws("contentBlockStart", {"contentBlockIndex": index, "start": tool}))
        frames.append(aws("contentBlockDelta", {"contentBlockIndex": index, "delta": arguments}))
        frames.append(aws("contentBlockStop", {"contentBlockIndex": index}))
        index += 1
    frames.append(aws("messageStop", {"stopReason": _stop(reply)}))
    if numbers:
        frames.append(aws("metadata", {"usage": usage(numbers), "metrics": {"latencyMs": 1}}))
    return frames


def _model(path: str, body: dict[str, Any]) -> str:
    found = PATH.search(path)
    return unquote(found[1]) if found else "unknown"


CONVERSE = Wire(
    "bedrock.converse",
    lambda path: path.endswith(("/converse", "/converse-stream")) and PATH.search(path) is not None,
    plain,
    events,
    error,
    frame_error=lambda body: aws("internalServerException", body, "exception"),
    stream_type="application/vnd.amazon.eventstream",
    streams=lambda path, body: path.endswith("/converse-stream"),
    model=_model,
)


def _chunks(asked: Asked, reply: Reply, model: str, numbers: Numbers | None) -> list[bytes]:
    """The model's own events, base64 in chunks."""
    held = (dumps(document) for document in anthropic.documents(asked, reply, model, numbers))
    return [aws("chunk", {"bytes": base64.b64encode(document).decode()}) for document in held]


INVOKE = replace(
    CONVERSE,
    api="bedrock.invoke",
    matches=lambda path: path.endswith(("/invoke", "/invoke-with-response-stream")) and PATH.search(path) is not None,
    plain=anthropic.plain,
    events=_chunks,
    streams=lambda path, body: path.endswith("/invoke-with-response-stream"),
)
