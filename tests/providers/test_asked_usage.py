"""Streams are asked for their usage where they tell it on request only, and what was asked for stays hidden."""

from __future__ import annotations

import json

import pytest

from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.http_message import parse_request
from pytest_tokenbudget.providers.openai_chat import without_usage
from pytest_tokenbudget.providers.registry import builtin_formats

FORMATS = builtin_formats()
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


def asked(url: str, body: dict) -> dict | None:
    """The body that is sent, ``None`` where it stays the caller's."""
    sent = json.dumps(body).encode()
    found = classify(parse_request("POST", url, (), sent), FORMATS)
    asking = None if found.format is None else found.format.ask_for_usage(found.request, sent)
    return None if asking is None else json.loads(asking)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/deployments/d/chat/completions", "/v1/completions"])
def test_a_stream_that_does_not_say_is_asked(path: str):
    """Options that the caller gave stay; everything else stays as it was."""
    body = CHAT if "chat" in path else {"model": "m", "prompt": "Hi", "stream": True}
    assert asked(f"https://gateway.example{path}", body) == {**body, "stream_options": {"include_usage": True}}
    given = {**body, "stream_options": {"chunk_size": 3}}
    assert asked(f"https://gateway.example{path}", given) == {
        **body,
        "stream_options": {"chunk_size": 3, "include_usage": True},
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {**CHAT, "stream": False}),
        ("/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": False}}),
        ("/v1/chat/completions", {**CHAT, "stream_options": "x"}),
        ("/v1/messages", {**CHAT, "max_tokens": 9}),
        ("/v1/responses", {"model": "m", "input": "Hi", "stream": True}),
        ("/serving-endpoints/e/invocations", CHAT),
    ],
)
def test_other_requests_stay_the_callers(path: str, body: dict):
    """Plain answers, APIs that tell usage anyway, and callers who said what they want."""
    assert asked(f"https://gateway.example{path}", body) is None


def event(document: dict) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def test_only_the_event_of_usage_is_hidden():
    """Text stays, Azure's first event of filter results stays, and so does an event that a server made of both."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    text = event({"choices": [{"index": 0, "delta": {"content": '"usage" "choices": []'}}]})
    azure = event({"choices": [], "prompt_filter_results": []})
    both = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
    for kept in (text, azure, both, b"data: [DONE]\n\n", b'data: {"choices": [], "usage"'):
        assert without_usage(kept) == kept
    assert without_usage(event({"choices": [], "usage": usage})) == b""


def test_timings_are_not_hidden_with_the_usage():
    """llama.cpp puts its timings into the last event, whichever that is; a client finds them beside an empty piece."""
    hidden = {"id": "c", "choices": [], "usage": {"prompt_tokens": 3}, "timings": {"prompt_n": 3, "predicted_n": 2}}
    left = without_usage(event(hidden))
    assert json.loads(left.removeprefix(b"data: ")) == {
        "id": "c",
        "choices": [{"index": 0, "delta": {}, "finish_reason": None}],
        "timings": {"prompt_n": 3, "predicted_n": 2},
    }
