"""Exchanges of every API, written by hand after the providers' references.

Shared by the tests of ``providers/`` and by ``benchmarks/wire_fuzz.py``.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from wire_documents import (
    ANTHROPIC_ANSWER,
    ANTHROPIC_EVENTS,
    ANTHROPIC_REQUEST,
    CHAT_ANSWER,
    CHAT_EVENTS,
    CHAT_REQUEST,
    COHERE_ANSWER,
    COHERE_EVENTS,
    COHERE_REQUEST,
    COHERE_V1_EVENTS,
    CONVERSE_ANSWER,
    CONVERSE_EVENTS,
    CONVERSE_REQUEST,
    GOOGLE_ANSWER,
    GOOGLE_EVENTS,
    GOOGLE_REQUEST,
    INTERACTION_EVENTS,
    OLLAMA_EVENTS,
    RESPONSES_ANSWER,
    RESPONSES_EVENTS,
    RESPONSES_REQUEST,
    Json,
)

from pytest_tokenbudget.records.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Sample:
    """An exchange and what is to be read from it.

    Attributes:
        api: Name of the format that reads it.
        exchange: The exchange, its body in one piece.
        tokens: Input, output, cached, cache-written and reasoning tokens.
        model: Model that answered.
        finish: Normalised finish reason.
        tools: Client-side tool calls.
        content_after: A text that stands in the event that first carries content; ``None`` where not streamed.
    """

    api: str
    exchange: Exchange
    tokens: tuple[int | None, int | None, int | None, int | None, int | None]
    model: str
    finish: str | None = "stop"
    tools: tuple[str, ...] = ()
    content_after: bytes | None = None


def exchange(
    url: str, request: Json | None, body: bytes, content_type: str = "application/json", **more: Any
) -> Exchange:
    """An exchange whose body arrived at once, one second after its start at 10 s."""
    fields: Json = {
        "client": "test 1",
        "method": "POST",
        "url": url if "://" in url else f"https://gateway.example{url}",
        "request_headers": (("content-type", "application/json"),),
        "request_body": None if request is None else json.dumps(request).encode(),
        "status": 200,
        "response_headers": (("content-type", content_type),),
        "chunks": (body,) if body else (),
        "chunk_times": (11.0,) if body else (),
        "started": 10.0,
        "ended": 11.0,
    }
    return Exchange(**{**fields, **more})


def in_chunks(made: Exchange, cuts: list[int]) -> Exchange:
    """The same exchange with its body cut at offsets, a piece each 0.1 s from 10.1 s on."""
    body = b"".join(made.chunks)
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    chunks = tuple(body[start:end] for start, end in pairwise(edges))
    times = tuple(10 + (number + 1) / 10 for number in range(len(chunks)))
    return replace(made, chunks=chunks, chunk_times=times, streamed=True)


def sse(*documents: Json | str, named: str = "") -> bytes:
    """Documents as server-sent events; ``named`` is the key whose value names the event."""
    lines = []
    for document in documents:
        if named and isinstance(document, dict):
            lines.append(f"event: {document[named]}")
        lines.append("data: " + (document if isinstance(document, str) else json.dumps(document)))
        lines.append("")
    return ("\n".join(lines) + "\n").encode()


def ndjson(*documents: Json) -> bytes:
    """Documents as lines."""
    return "".join(json.dumps(document) + "\n" for document in documents).encode()


def eventstream(*events: tuple[str, Json]) -> bytes:
    """Messages of Amazon's event stream: type and payload."""
    return b"".join(event_message({":message-type": "event", ":event-type": kind}, held) for kind, held in events)


def event_message(headers: dict[str, str], payload: Json | bytes) -> bytes:
    """One message of Amazon's event stream."""
    head = b""
    for name, value in headers.items():
        head += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(data), len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + data
    return message + struct.pack(">I", zlib.crc32(message))


def in_chunk_bytes(document: Json) -> tuple[str, Json]:
    """A document as InvokeModel's stream wraps it."""
    return "chunk", {"bytes": base64.b64encode(json.dumps(document).encode()).decode()}


_SSE = "text/event-stream"
_AMAZON = "application/vnd.amazon.eventstream"
_STREAM: Json = {"stream": True}
_NOVA = "/model/us.amazon.nova-9-v1%3A0"


def _plain() -> dict[str, Sample]:
    chat = exchange("/v1/chat/completions", CHAT_REQUEST, json.dumps(CHAT_ANSWER).encode())
    tools = ("weather", "forecast")
    return {
        "chat": Sample("openai.chat", chat, (50, 20, 32, None, 8), "gpt-9-2026", "tool_call", tools),
        "responses": Sample(
            "openai.responses",
            exchange("/openai/v1/responses", RESPONSES_REQUEST, json.dumps(RESPONSES_ANSWER).encode()),
            (90, 31, 64, 3, 16),
            "gpt-9-2026",
            "stop",
            ("weather",),
        ),
        "messages": Sample(
            "anthropic.messages",
            exchange("/anthropic/v1/messages", ANTHROPIC_REQUEST, json.dumps(ANTHROPIC_ANSWER).encode()),
            (130, 40, 100, 20, 5),
            "claude-9-1",
            "tool_call",
            ("weather",),
        ),
        "google": Sample(
            "google.generate_content",
            exchange("/v1beta/models/gemini-9:generateContent", GOOGLE_REQUEST, json.dumps(GOOGLE_ANSWER).encode()),
            (35, 16, 12, None, 9),
            "gemini-9-001",
            "stop",
            ("weather",),
        ),
        "converse": Sample(
            "bedrock.converse",
            exchange(f"{_NOVA}/converse", CONVERSE_REQUEST, json.dumps(CONVERSE_ANSWER).encode()),
            (115, 20, 100, 5, None),
            "us.amazon.nova-9-v1:0",
            "tool_call",
            ("weather",),
        ),
        "cohere": Sample(
            "cohere.chat_v2",
            exchange("/v2/chat", COHERE_REQUEST, json.dumps(COHERE_ANSWER).encode()),
            (80, 11, 16, None, None),
            "command-9",
            "tool_call",
            ("weather",),
        ),
        "invoke": Sample(
            "bedrock.invoke",
            exchange(
                "/model/anthropic.claude-9/invoke",
                {**ANTHROPIC_REQUEST, "anthropic_version": "bedrock-2023-05-31"},
                json.dumps(ANTHROPIC_ANSWER).encode(),
            ),
            (130, 40, 100, 20, 5),
            "claude-9",
            "tool_call",
            ("weather",),
        ),
    }


def _streams() -> dict[str, Sample]:
    array = ("[" + ",\r\n".join(json.dumps(event, indent=1) for event in GOOGLE_EVENTS) + "]").encode()
    tools = ("weather", "forecast")
    invoked = eventstream(*(in_chunk_bytes(event) for event in ANTHROPIC_EVENTS))
    made: dict[str, tuple[str, str, Json, bytes, str]] = {
        "chat": ("openai.chat", "/v1/chat/completions", {**CHAT_REQUEST, **_STREAM}, sse(*CHAT_EVENTS), _SSE),
        "responses": (
            "openai.responses",
            "/v1/responses",
            {**RESPONSES_REQUEST, **_STREAM},
            sse(*RESPONSES_EVENTS, named="type"),
            _SSE,
        ),
        "messages": (
            "anthropic.messages",
            "/v1/messages",
            {**ANTHROPIC_REQUEST, **_STREAM},
            sse(*ANTHROPIC_EVENTS, named="type"),
            _SSE,
        ),
        "google": (
            "google.generate_content",
            "/v1beta/models/gemini-9:streamGenerateContent?alt=sse",
            GOOGLE_REQUEST,
            sse(*GOOGLE_EVENTS).replace(b"\n", b"\r\n"),
            _SSE,
        ),
        "google array": (
            "google.generate_content",
            "/v1/models/gemini-9:streamGenerateContent",
            GOOGLE_REQUEST,
            array,
            "application/json",
        ),
        "converse": (
            "bedrock.converse",
            f"{_NOVA}/converse-stream",
            CONVERSE_REQUEST,
            eventstream(*CONVERSE_EVENTS),
            _AMAZON,
        ),
        "invoke": (
            "bedrock.invoke",
            "/model/anthropic.claude-9/invoke-with-response-stream",
            ANTHROPIC_REQUEST,
            invoked,
            _AMAZON,
        ),
        "cohere": (
            "cohere.chat_v2",
            "/v2/chat",
            {**COHERE_REQUEST, **_STREAM},
            sse(*COHERE_EVENTS, named="type"),
            _SSE,
        ),
        "cohere 1": (
            "cohere.chat_v1",
            "/v1/chat",
            {"model": "command-9", "message": "Weather?", "stream": True},
            ndjson(*COHERE_V1_EVENTS),
            "application/stream+json",
        ),
        "ollama": (
            "ollama.chat",
            "/api/chat",
            {"model": "llama9", "messages": [{"role": "user", "content": "Weather?"}]},
            ndjson(*OLLAMA_EVENTS),
            "application/x-ndjson",
        ),
        "interactions": (
            "google.interactions",
            "/v1beta/interactions",
            {"model": "gemini-9", "input": "Weather?", "stream": True},
            sse(*INTERACTION_EVENTS, named="event_type"),
            _SSE,
        ),
    }
    seen: dict[str, tuple[Any, str, str | None, tuple[str, ...], bytes]] = {
        "chat": ((50, 20, 32, None, 8), "gpt-9-2026", "tool_call", tools, b'"name": "weather"'),
        "responses": ((90, 31, 64, 3, 16), "gpt-9-2026", "stop", ("weather",), b"Let me"),
        "messages": ((130, 40, 100, 20, 5), "claude-9-1", "tool_call", ("weather",), b"Hm."),
        "google": ((35, 16, 12, None, 9), "gemini-9-001", "stop", ("weather",), b"Hm"),
        "google array": ((35, 16, 12, None, 9), "gemini-9-001", "stop", ("weather",), b"Hm"),
        "converse": ((115, 20, 100, 5, None), "us.amazon.nova-9-v1:0", "tool_call", ("weather",), b"Hm"),
        "invoke": ((130, 40, 100, 20, 5), "claude-9-1", "tool_call", ("weather",), b""),
        "cohere": ((80, 11, 16, None, None), "command-9", "tool_call", ("weather",), b"I look."),
        "cohere 1": ((80, 4, None, None, None), "command-9", "stop", (), b"It"),
        "ollama": ((26, 8, None, None, None), "llama9", "stop", ("weather",), b"It"),
        "interactions": ((15, 26, 0, None, 20), "gemini-9", "stop", (), b"It rains."),
    }
    return {
        name: Sample(api, exchange(url, request, body, kind), *seen[name])
        for name, (api, url, request, body, kind) in made.items()
    }


PLAIN: dict[str, Sample] = _plain()
"""Answers in one document, by name."""

STREAMS: dict[str, Sample] = _streams()
"""Streamed answers, by name."""
