"""How long reading takes, beside ``json.loads`` of the same bytes as the floor.

Run ``python benchmarks/wire_reading.py``. Prints a line for each case and exits 1 where a figure is not held: an exchange
of 64 KB under 0.5 ms, a stream of 2,000 events under 10 ms (20 ms with log probabilities, whose JSON alone takes more than
10), and either at most three times its floor.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from wire_samples import eventstream, in_chunk_bytes, ndjson

from pytest_tokenbudget.providers.classify import ReadExchange, read
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.exchange import Exchange

EVENTS = 2_000
SIZE = 64 * 1024
REPEATS = 40
MOST_TIMES_FLOOR = 3.0
SSE = "text/event-stream"

Case = tuple[Exchange, list[bytes]]
"""An exchange, and the JSON texts in it, whose parsing is the floor."""


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


def chat_stream() -> Case:
    """Chunks of a chat completion, obfuscated as OpenAI pads them."""
    documents = [{**_CHUNK, "choices": [_choice({"content": f" word{number}"})]} for number in range(EVENTS - 2)]
    return _chat([{**document, "obfuscation": "abcdefgh"} for document in documents])


def chat_logprobs_stream() -> Case:
    """The same with the probabilities of each token and its rivals."""
    rivals = [{"token": f"t{number}", "logprob": -1.5, "bytes": [116]} for number in range(3)]
    sure = {"content": [{"token": " w", "logprob": -0.1, "bytes": [32], "top_logprobs": rivals}], "refusal": None}
    choice = {**_choice({"content": " w"}), "logprobs": sure}
    return _chat([{**_CHUNK, "choices": [choice]}] * (EVENTS - 2))


def chat_arguments_stream() -> Case:
    """A tool call whose arguments come in small pieces."""
    begun = {"index": 0, "id": "call_1", "function": {"name": "write", "arguments": ""}}
    piece = {"index": 0, "function": {"arguments": '{"a'}}
    deltas = [begun, *[piece] * (EVENTS - 3)]
    return _chat([{**_CHUNK, "choices": [_choice({"tool_calls": [delta]})]} for delta in deltas])


_CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m-1",
    "system_fingerprint": "f",
}


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _chat(documents: list[dict[str, Any]]) -> Case:
    usage = {"prompt_tokens": 12, "completion_tokens": EVENTS, "total_tokens": EVENTS + 12}
    documents = [{**document, "usage": None} for document in documents]
    documents.append({**_CHUNK, "choices": [_choice({}, "stop")], "usage": None})
    documents.append({**_CHUNK, "choices": [], "usage": usage})
    request = {"model": "m-1", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    return exchange("/v1/chat/completions", request, sse(documents), SSE), _texts(documents)


def responses_stream() -> Case:
    """A stream of the Responses API whose first and last events repeat the instructions and all tools."""
    tool = {"type": "function", "name": "search", "description": "Search it. " * 30, "parameters": {}}
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "model": "m",
        "instructions": "You are careful. " * 300,
    }
    response |= {"tools": [tool] * 20, "status": "in_progress", "output": []}
    delta = {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": '{"a'}
    documents: list[dict[str, Any]] = [{"type": "response.created", "response": response}]
    documents.append({"type": "response.in_progress", "response": response})
    documents.extend({**delta, "sequence_number": number, "obfuscation": "abcdef"} for number in range(EVENTS - 3))
    usage = {"input_tokens": 12, "output_tokens": EVENTS, "total_tokens": EVENTS + 12}
    output = [{"type": "function_call", "name": "search", "arguments": '{"a' * EVENTS}]
    done = {**response, "status": "completed", "output": output, "usage": usage}
    documents.append({"type": "response.completed", "response": done})
    request = {"model": "m", "stream": True, "input": "hi"}
    return exchange("/v1/responses", request, sse(documents, named=True), SSE), _texts(documents)


def _anthropic_events() -> list[dict[str, Any]]:
    message = {"id": "msg_1", "model": "c-1", "content": [], "usage": {"input_tokens": 12, "output_tokens": 1}}
    documents: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for number in range(EVENTS - 3):
        delta = {"type": "text_delta", "text": f" word{number}"}
        documents.append({"type": "content_block_delta", "index": 0, "delta": delta})
    usage = {"output_tokens": EVENTS}
    documents.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    documents.append({"type": "message_stop"})
    return documents


def anthropic_stream() -> Case:
    """A stream of the messages API."""
    documents = _anthropic_events()
    request = {"model": "c-1", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return exchange("/v1/messages", request, sse(documents, named=True), SSE), _texts(documents)


def _google_chunks() -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    for number in range(EVENTS):
        content = {"parts": [{"text": f" word{number}"}], "role": "model"}
        usage = {"promptTokenCount": 12, "candidatesTokenCount": number, "totalTokenCount": number + 12}
        documents.append(
            {"candidates": [{"content": content, "index": 0}], "usageMetadata": usage, "modelVersion": "g-1"}
        )
    return documents


def google_stream() -> Case:
    """A stream of ``streamGenerateContent``."""
    documents = _google_chunks()
    path = "/v1beta/models/g-1:streamGenerateContent?alt=sse"
    return exchange(path, {"contents": []}, sse(documents), SSE), _texts(documents)


def google_array() -> Case:
    """The same as one JSON array, as it comes without ``alt=sse``."""
    body = json.dumps(_google_chunks(), indent=2).encode()
    return exchange("/v1beta/models/g-1:streamGenerateContent", {"contents": []}, body, "application/json"), [body]


def converse_stream() -> Case:
    """Converse's binary event stream."""
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for number in range(EVENTS - 3):
        delta = {"text": f" word{number}"}
        events.append(("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta, "p": "abcdefghijkl"}))
    events.append(("messageStop", {"stopReason": "end_turn"}))
    events.append(("metadata", {"usage": {"inputTokens": 12, "outputTokens": EVENTS, "totalTokens": EVENTS + 12}}))
    made = exchange(
        "/model/m/converse-stream", {"messages": []}, eventstream(*events), "application/vnd.amazon.eventstream"
    )
    return made, _texts([payload for _, payload in events])


def invoke_stream() -> Case:
    """InvokeModel's binary event stream, which holds Anthropic's events in base64: both are JSON that must be parsed."""
    documents = _anthropic_events()
    events = [in_chunk_bytes(document) for document in documents]
    path = "/model/m/invoke-with-response-stream"
    made = exchange(path, {"messages": []}, eventstream(*events), "application/vnd.amazon.eventstream")
    return made, _texts([*(payload for _, payload in events), *documents])


def cohere_stream() -> Case:
    """A stream of Cohere's chat, version 2."""
    documents: list[dict[str, Any]] = [
        {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}}
    ]
    for number in range(EVENTS - 2):
        content = {"content": {"text": f" word{number}"}}
        documents.append({"type": "content-delta", "index": 0, "delta": {"message": content}})
    usage = {"tokens": {"input_tokens": 12, "output_tokens": EVENTS}}
    documents.append({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}})
    request = {"model": "c", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    return exchange("/v2/chat", request, sse(documents, named=True), SSE), _texts(documents)


def ollama_stream() -> Case:
    """Lines of Ollama's chat."""
    at = {"model": "l", "created_at": "2026-01-01T00:00:00.000000Z"}
    documents: list[dict[str, Any]] = [
        {**at, "message": {"role": "assistant", "content": f" word{number}"}, "done": False}
        for number in range(EVENTS - 1)
    ]
    end = {"message": {"content": ""}, "done": True, "prompt_eval_count": 12, "eval_count": EVENTS}
    documents.append({**at, **end})
    request = {"model": "l", "messages": [{"role": "user", "content": "hi"}]}
    return exchange("/api/chat", request, ndjson(*documents), "application/x-ndjson-stream"), _texts(documents)


def big_exchange() -> Case:
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


CASES: tuple[tuple[str, Callable[[], Case], float], ...] = (
    ("64 KB exchange", big_exchange, 0.5),
    ("openai.chat stream", chat_stream, 10.0),
    ("openai.chat logprobs stream", chat_logprobs_stream, 20.0),
    ("openai.chat arguments stream", chat_arguments_stream, 10.0),
    ("openai.responses stream", responses_stream, 10.0),
    ("anthropic.messages stream", anthropic_stream, 10.0),
    ("google.generate_content stream", google_stream, 10.0),
    ("google.generate_content array", google_array, 10.0),
    ("bedrock.converse stream", converse_stream, 10.0),
    ("bedrock.invoke stream", invoke_stream, 10.0),
    ("cohere.chat_v2 stream", cohere_stream, 10.0),
    ("ollama.chat stream", ollama_stream, 10.0),
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
