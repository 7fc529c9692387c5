"""Streamed exchanges of every API: those of ``wire_samples``, and the servers that few people meet."""

from __future__ import annotations

from wire_documents import Json
from wire_samples import STREAMS as _KNOWN
from wire_samples import Sample, event_message, exchange, ndjson, sse

_COUNTED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
_CHAT = {"model": "m", "messages": [{"role": "user", "content": "Weather?"}], "stream": True}
_PROMPT = {"model": "m", "prompt": "Weather?", "stream": True}
_CHUNKS = (
    {"model": "m-1", "choices": [{"index": 0, "delta": {"content": "Ho"}, "finish_reason": None}]},
    {"model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": _COUNTED},
)
_TOKENS = (
    {"token": {"text": "Ho", "special": False}},
    {"token": {"text": "</s>", "special": True}, "generated_text": "Ho", "details": {"finish_reason": "eos_token"}},
)


def _meta(written: int, reason: str | None) -> Json:
    stop = reason and {"type": reason}
    return {"id": "1", "prompt_tokens": 7, "completion_tokens": written, "finish_reason": stop}


def _run(text: str, read: int, written: int, reason: str) -> Json:
    result = {
        "generated_text": text,
        "input_token_count": read,
        "generated_token_count": written,
        "stop_reason": reason,
    }
    return {"model_id": "m-1", "results": [result]}


def _payload_parts(body: bytes) -> bytes:
    """A stream as SageMaker cuts it up, without regard to its events."""
    headers = {":message-type": "event", ":event-type": "PayloadPart"}
    return b"".join(event_message(headers, body[start : start + 17]) for start in range(0, len(body), 17))


def _made() -> dict[str, tuple[str, str, Json, bytes, bytes]]:
    """Name -> API, URL, request, body, a text in the event that first carries content."""
    return {
        "agents": (
            "mistral.conversations",
            "/v1/conversations",
            {"model": "m", "inputs": "Weather?", "stream": True},
            sse(
                {"type": "conversation.response.started", "conversation_id": "c"},
                {"type": "message.output.delta", "content": "Ho", "model": "m-1"},
                {"type": "conversation.response.done", "usage": _COUNTED},
                named="type",
            ),
            b"Ho",
        ),
        "cloudflare": (
            "cloudflare.run",
            "/ai/run/@cf/m-1",
            {"messages": _CHAT["messages"], "stream": True},
            sse({"response": "Ho", "p": "ab"}, {"response": "", "usage": _COUNTED}, "[DONE]"),
            b"Ho",
        ),
        "completions": (
            "openai.completions",
            "/v1/completions",
            _PROMPT,
            sse(
                {"model": "m-1", "choices": [{"index": 0, "text": "Ho", "finish_reason": None}]},
                {"model": "m-1", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": _COUNTED},
                "[DONE]",
            ),
            b"Ho",
        ),
        "generate": (
            "ollama.generate",
            "/api/generate",
            {"model": "m", "prompt": "Weather?"},
            ndjson(
                {"model": "m-1", "response": "Ho", "done": False},
                {
                    "model": "m-1",
                    "response": "",
                    "done": True,
                    "done_reason": "stop",
                    "prompt_eval_count": 7,
                    "eval_count": 3,
                },
            ),
            b"Ho",
        ),
        "llama.cpp": (
            "llamacpp.completion",
            "/completion",
            {"prompt": "Weather?", "stream": True},
            sse(
                {"content": "Ho", "stop": False},
                {
                    "content": "",
                    "stop": True,
                    "model": "m-1",
                    "stop_type": "eos",
                    "tokens_evaluated": 7,
                    "tokens_predicted": 3,
                },
            ),
            b"Ho",
        ),
        "sagemaker": (
            "openai.chat",
            "/endpoints/m-1/invocations-response-stream",
            _CHAT,
            _payload_parts(sse(*_CHUNKS, "[DONE]")),
            b"",
        ),
        "sglang": (
            "sglang.generate",
            "/generate",
            {"text": "Weather?", "stream": True, "model": "m-1"},
            sse({"text": "Ho", "meta_info": _meta(1, None)}, {"text": "Ho!", "meta_info": _meta(3, "stop")}, "[DONE]"),
            b"Ho",
        ),
        "tokens": (
            "huggingface.text_generation",
            "/models/m-1/generate_stream",
            {"inputs": "Weather?", "stream": True, "model": "m-1"},
            sse(*_TOKENS),
            b"Ho",
        ),
        "watsonx": (
            "watsonx.chat",
            "/ml/v1/text/chat_stream?version=1",
            {"model_id": "m-1", "messages": _CHAT["messages"]},
            sse(*_CHUNKS),
            b"Ho",
        ),
        "watsonx text": (
            "watsonx.generation",
            "/ml/v1/text/generation_stream?version=1",
            {"model_id": "m-1", "input": "Weather?"},
            sse(_run("Ho", 7, 1, "not_finished"), _run("!", 0, 3, "eos_token")),
            b"Ho",
        ),
        "writer": ("writer.chat", "/v1/chat", _CHAT, sse(*_CHUNKS), b"Ho"),
    }


def _streams() -> dict[str, Sample]:
    found: dict[str, Sample] = {}
    for name, (api, url, request, body, content) in _made().items():
        counted = (None, None) if name == "tokens" else (7, 3)
        finish = None if name in ("agents", "cloudflare") else "stop"
        kind = "application/json" if body[:1] == b"{" else "text/event-stream"
        kind = "application/vnd.amazon.eventstream" if body[:1] == b"\x00" else kind
        made = exchange(url, request, body, kind)
        model = "@cf/m-1" if name == "cloudflare" else "m-1"
        found[name] = Sample(api, made, (*counted, None, None, None), model, finish, (), content)
    return found


STREAMS: dict[str, Sample] = {**_KNOWN, **_streams()}
"""Streamed answers, by name."""
