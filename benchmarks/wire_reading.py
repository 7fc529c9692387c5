"""How long reading takes, beside ``json.loads`` of the same bytes as the floor.

Run ``python benchmarks/wire_reading.py``. Prints a line for each case and exits 1 where a figure is not held: an exchange
of 64 KB under 0.5 ms, a stream of 2,000 events under 10 ms, and either at most three times its floor.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.wire.registry import ReadExchange, builtin_formats, read

EVENTS = 2_000
SIZE = 64 * 1024
REPEATS = 40
MOST_TIMES_FLOOR = 3.0


def exchange(path: str, request: dict[str, Any], body: bytes, content_type: str) -> Exchange:
    """An exchange as a client would have had it, the body in pieces of 1 KB where it is a stream."""
    step = 1_024 if "stream" in content_type else len(body)
    chunks = tuple(body[start : start + step] for start in range(0, len(body), step))
    return Exchange(
        client="benchmark",
        method="POST",
        url=f"https://gateway.example{path}",
        request_body=json.dumps(request).encode(),
        status=200,
        response_headers=(("content-type", content_type),),
        chunks=chunks,
        chunk_times=tuple(float(number) for number in range(len(chunks))),
        streamed=len(chunks) > 1,
    )


def sse(documents: list[dict[str, Any]], *, named: bool = False) -> bytes:
    """Documents as server-sent events, with their type as the event's name where asked."""
    lines = []
    for document in documents:
        if named:
            lines.append(f"event: {document['type']}")
        lines.append("data: " + json.dumps(document, separators=(",", ":")))
        lines.append("")
    return ("\n".join(lines) + "\ndata: [DONE]\n\n").encode()


def chat_stream() -> tuple[Exchange, list[bytes]]:
    """A stream of chat completion chunks."""
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "system_fingerprint": "f",
    }
    documents: list[dict[str, Any]] = []
    for number in range(EVENTS - 2):
        delta = {"content": f" word{number}"}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        documents.append({**base, "choices": [choice], "usage": None})
    documents.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None})
    usage = {"prompt_tokens": 12, "completion_tokens": EVENTS, "total_tokens": EVENTS + 12}
    documents.append({**base, "choices": [], "usage": usage})
    request = {"model": "m-1", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    body = sse(documents)
    return exchange("/v1/chat/completions", request, body, "text/event-stream"), _texts(documents)


def responses_stream() -> tuple[Exchange, list[bytes]]:
    """A stream of the Responses API."""
    base = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0}
    documents: list[dict[str, Any]] = [
        {**base, "sequence_number": number, "delta": f" word{number}"} for number in range(EVENTS - 1)
    ]
    usage = {"input_tokens": 12, "output_tokens": EVENTS, "total_tokens": EVENTS + 12}
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "word" * EVENTS}]}]
    response = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": output,
        "usage": usage,
        "model": "m",
    }
    documents.append({"type": "response.completed", "response": response})
    body = sse(documents, named=True)
    request = {"model": "m", "stream": True, "input": "hi"}
    return exchange("/v1/responses", request, body, "text/event-stream"), _texts(documents)


def anthropic_stream() -> tuple[Exchange, list[bytes]]:
    """A stream of the messages API."""
    message = {"id": "msg_1", "model": "c-1", "content": [], "usage": {"input_tokens": 12, "output_tokens": 1}}
    documents: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for number in range(EVENTS - 3):
        delta = {"type": "text_delta", "text": f" word{number}"}
        documents.append({"type": "content_block_delta", "index": 0, "delta": delta})
    documents.append(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": EVENTS}}
    )
    documents.append({"type": "message_stop"})
    body = sse(documents, named=True)
    request = {"model": "c-1", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return exchange("/v1/messages", request, body, "text/event-stream"), _texts(documents)


def google_stream() -> tuple[Exchange, list[bytes]]:
    """A stream of ``streamGenerateContent``."""
    documents: list[dict[str, Any]] = []
    for number in range(EVENTS):
        content = {"parts": [{"text": f" word{number}"}], "role": "model"}
        usage = {"promptTokenCount": 12, "candidatesTokenCount": number, "totalTokenCount": number + 12}
        documents.append(
            {"candidates": [{"content": content, "index": 0}], "usageMetadata": usage, "modelVersion": "g-1"}
        )
    request = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    path = "/v1beta/models/g-1:streamGenerateContent?alt=sse"
    return exchange(path, request, sse(documents), "text/event-stream"), _texts(documents)


def big_exchange() -> tuple[Exchange, list[bytes]]:
    """An agent's call in the middle of its run: 60 KB of history and tools, 4 KB of answer."""
    tool = {"type": "function", "function": {"name": "search", "description": "Search it. " * 9, "parameters": {}}}
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are careful. " * 60}]
    while len(json.dumps(messages)) < SIZE - 6_000:
        calls = [
            {
                "id": f"call_{len(messages)}",
                "type": "function",
                "function": {"name": "search", "arguments": '{"q": "x"}'},
            }
        ]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages.append({"role": "tool", "tool_call_id": f"call_{len(messages) - 1}", "content": "A result. " * 60})
    request = {"model": "m-1", "messages": messages, "tools": [tool] * 4}
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 700}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9_000, "completion_tokens": 700, "total_tokens": 9_700}
    answer = json.dumps({"id": "1", "model": "m-1", "choices": [choice], "usage": usage}).encode()
    found = exchange("/v1/chat/completions", request, answer, "application/json")
    return found, [found.request_body or b"", answer]


def _texts(documents: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(document, separators=(",", ":")).encode() for document in documents]


def _load(texts: list[bytes]) -> None:
    for text in texts:
        json.loads(text)


def best(work: Callable[[], object]) -> float:
    """Shortest of many runs, ms."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1_000


CASES: tuple[tuple[str, Callable[[], tuple[Exchange, list[bytes]]], float], ...] = (
    ("64 KB exchange", big_exchange, 0.5),
    ("openai.chat stream", chat_stream, 10.0),
    ("openai.responses stream", responses_stream, 10.0),
    ("anthropic.messages stream", anthropic_stream, 10.0),
    ("google.generate_content stream", google_stream, 10.0),
)


def main() -> int:
    """Measure all cases."""
    formats = builtin_formats()
    held = True
    print(f"{'case':32}{'bytes':>9}{'read ms':>10}{'floor ms':>10}{'times':>7}{'limit ms':>10}")
    for name, build, limit in CASES:
        made, texts = build()
        found = read(made, formats)
        assert isinstance(found, ReadExchange), name
        assert found.reading.usage.output_tokens, name
        taken = best(partial(read, made, formats))
        floor = best(partial(_load, texts))
        size = sum(len(text) for text in texts)
        print(f"{name:32}{size:9}{taken:10.3f}{floor:10.3f}{taken / floor:7.2f}{limit:10.1f}")
        held = held and taken < limit and taken <= MOST_TIMES_FLOOR * floor
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
