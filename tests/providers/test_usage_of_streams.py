"""Which usage counts where a stream tells several, or leaves a part out."""

from __future__ import annotations

import pytest
from wire_samples import exchange, ndjson, sse

from pytest_tokenbudget.records.call import Usage

CHAT = "/v1/chat/completions"
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
CLAUDE = {"max_tokens": 9, **ASK}
TEXT = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}], "model": "m-1"}
STREAM = "text/event-stream"


def start(**usage: int | None) -> dict:
    return {"type": "message_start", "message": {"id": "a", "model": "c", "content": [], "usage": usage}}


def delta(**usage: int | None) -> dict:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([start(input_tokens=1500, output_tokens=1), delta(input_tokens=0, output_tokens=20)], Usage(1500, 20)),
        (
            [
                start(input_tokens=12, cache_read_input_tokens=5000, cache_creation_input_tokens=0, output_tokens=1),
                delta(input_tokens=0, cache_read_input_tokens=0, cache_creation_input_tokens=0, output_tokens=20),
            ],
            Usage(5012, 20, 5000, 0),
        ),
        (
            [
                start(input_tokens=12, cache_read_input_tokens=5000, output_tokens=1),
                delta(input_tokens=0, cache_read_input_tokens=5000, output_tokens=20),
            ],
            Usage(5012, 20, 5000),
        ),
        # A proxy that learns of the cache at the end only, and one that knows nothing before.
        (
            [start(input_tokens=5012, output_tokens=1), delta(input_tokens=0, cache_read_input_tokens=5012)],
            Usage(5012, 1, 5012),
        ),
        ([start(input_tokens=0, output_tokens=0), delta(input_tokens=40, output_tokens=20)], Usage(40, 20)),
        # Server tools and compaction: the end is right, though it is smaller.
        (
            [
                start(input_tokens=181, cache_read_input_tokens=55096, output_tokens=1),
                delta(input_tokens=181, cache_read_input_tokens=0, output_tokens=8),
            ],
            Usage(181, 8, 0),
        ),
        ([start(input_tokens=0, output_tokens=0), delta(input_tokens=0, output_tokens=0)], Usage(0, 0)),
    ],
)
def test_zeros_at_the_end_of_a_claude_stream_replace_no_input(answered, events, expected):
    """Some gateways end with a usage of zeros; what the start said of the input stays known."""
    assert answered("/v1/messages", CLAUDE, sse(*events), content_type=STREAM).usage == expected


def chunks(*usages: dict) -> bytes:
    return sse(TEXT, *({"choices": [], "model": "m-1", "usage": usage} for usage in usages))


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        ([(1500, 20), (0, 0)], Usage(1500, 20)),
        ([(1500, 20), (0, 25)], Usage(1500, 25)),
        ([(1500, 1), (1500, 20)], Usage(1500, 20)),
        ([(0, 0), (1500, 20)], Usage(1500, 20)),
        ([(1500, 20), (0, 0), (1500, 30)], Usage(1500, 30)),
        ([(0, 0)], Usage(0, 0)),
    ],
)
def test_zeros_at_the_end_of_a_chat_stream_replace_nothing(answered, usages, expected):
    """The last usage counts, as far as it says more than zero."""
    told = [{"prompt_tokens": read, "completion_tokens": written} for read, written in usages]
    assert answered(CHAT, ASK, chunks(*told), content_type=STREAM).usage == expected


def test_zeros_replace_nothing_at_any_provider(answered):
    """Google, Bedrock, Responses and Ollama."""
    first, last = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}, {"promptTokenCount": 0}
    google = sse({"candidates": [], "usageMetadata": first}, {"usageMetadata": {**last, "totalTokenCount": 0}})
    path = "/v1beta/models/g:streamGenerateContent"
    assert answered(path, {"contents": []}, google, content_type=STREAM).usage == Usage(9, 3)
    first, last = {"input_tokens": 9, "output_tokens": 3}, {"input_tokens": 0, "output_tokens": 0}
    events = [
        {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": usage}}
        for usage in (first, last)
    ]
    found = answered("/v1/responses", {"model": "m", "input": "Hi"}, sse(*events), content_type=STREAM)
    assert found.usage == Usage(9, 3)
    lines = [{"done": True, "prompt_eval_count": read, "eval_count": read} for read in (9, 0)]
    assert answered("/api/chat", ASK, ndjson(*lines)).usage == Usage(9, 9)


@pytest.mark.parametrize(
    ("timings", "expected"),
    [
        ({"cache_n": 690, "prompt_n": 87, "predicted_n": 5}, Usage(777, 5, 690)),
        ({"prompt_n": 87, "predicted_n": 5}, Usage(None, 5)),
        ({"cache_n": 0, "prompt_n": "x", "predicted_n": -1}, Usage(None, None, 0)),
    ],
)
def test_llamacpp_tells_exact_counts_in_its_timings(answered, timings, expected):
    """Its last event has them, though no usage was asked for; without the cache's part the input is not known."""
    body = sse(TEXT, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "timings": timings})
    assert answered(CHAT, ASK, body, content_type=STREAM).usage == expected


def test_usage_counts_before_timings(answered):
    """What is called usage is what the server means by it."""
    last = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "timings": {"predicted_n": 9}}
    assert answered(CHAT, ASK, sse(TEXT, last), content_type=STREAM).usage == Usage(3, 2)


def test_what_the_body_leaves_out_the_headers_tell(answered):
    """Behind a guardrail Bedrock's body tells the input alone; the header's output completes it, not its input."""
    headers = (("x-amzn-bedrock-input-token-count", "99"), ("x-amzn-bedrock-output-token-count", "7"))
    document = {"type": "message", "content": [], "model": "c", "usage": {"input_tokens": 9}}
    asked = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    found = answered("/model/m/invoke", asked, document, response_headers=headers)
    assert found.usage == Usage(9, 7)


@pytest.mark.parametrize("end", ["closed", "open"])
def test_an_answer_that_nobody_read_is_said_to_be_unread(reading, end):
    """It has no shape that could be wrong."""
    found = reading(exchange(CHAT, ASK, b"", STREAM, end=end, streamed=True))
    assert found.problems == ("the answer was left unread",)


def test_a_stream_that_was_left_early_says_why_its_usage_is_unknown(reading):
    """A part was read; what came after it, the usage too, was not."""
    begun = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
    found = reading(exchange(CHAT, ASK, sse(begun), STREAM, end="closed"))
    assert found.problems == ("the stream was left before its end, so that the provider's usage is not known",)
    whole = exchange(CHAT, ASK, chunks({"prompt_tokens": 3, "completion_tokens": 2}), STREAM, end="closed")
    assert reading(whole).problems == ()
