"""Streams that real servers and gateways send, through the front door: what the report says of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from reported import run_reported

TEXT = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "Hello there"}}]}
END = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
TIMINGS = {"cache_n": 40, "prompt_n": 7, "predicted_n": 5, "predicted_ms": 12.5}
START = {"id": "m", "model": "claude-x", "role": "assistant", "type": "message", "content": []}


def claude(first: dict[str, int], last: dict[str, int]) -> list[dict[str, Any]]:
    """The events of a message that begins with one usage and ends with another."""
    return [
        {"type": "message_start", "message": {**START, "usage": first}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello there"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    ]


class _Streams(BaseHTTPRequestHandler):
    """Answers each path with its events; llama.cpp's depend on whether usage is asked for."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        zeros = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 20}
        cached = {"input_tokens": 12, "cache_read_input_tokens": 5000, "output_tokens": 1}
        usage = {"prompt_tokens": 1500, "completion_tokens": 20, "total_tokens": 1520}
        nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        if asked.get("stream_options", {}).get("include_usage"):
            told = {
                "id": "c",
                "choices": [],
                "usage": {"prompt_tokens": 47, "completion_tokens": 5},
                "timings": TIMINGS,
            }
            llama = [TEXT, END, told]
        else:
            llama = [TEXT, {**END, "timings": TIMINGS}]
        events: list[dict[str, Any]] = {
            "/claude/v1/messages": claude(cached, zeros),
            "/gateway/v1/chat/completions": [TEXT, END, *({"choices": [], "usage": one} for one in (usage, nothing))],
            "/zeros/v1/chat/completions": [TEXT, END, {"choices": [], "usage": nothing}],
            "/llama/v1/chat/completions": llama,
        }[self.path]
        named = "type" in events[0]
        lines = [(f"event: {e['type']}\n" if named else "") + f"data: {json.dumps(e)}\n\n" for e in events]
        body = "".join(lines).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def streams() -> Iterator[str]:
    """The URL of a server of such streams."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Streams)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def reported(pytester: pytest.Pytester, streams: str):
    """Run a test body against the server and give its one call and its messages."""

    def run(body: str, *options: str) -> tuple[dict[str, Any], list[str]]:
        lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
        pytester.makepyfile(
            test_agent="try:\n    import httpx\nexcept ImportError:\n    import httpx2 as httpx\n"
            "from pytest_tokenbudget import token_budget\n"
            f'ASK = {{"model": "gpt-4o", "stream": True, "messages": [{{"role": "user", "content": "hello"}}]}}\n'
            f'URL = "{streams}"\n\n@token_budget("10%")\ndef test_agent():\n{lines}\n'
        )
        result, tests = run_reported(pytester, *options)
        result.assert_outcomes(passed=1)
        (test,) = tests.values()
        (call,) = test["calls"]
        return call, test["messages"]

    return run


def tokens(call: dict[str, Any]) -> tuple[int | None, int | None, int | None, str]:
    return call["input_tokens"], call["output_tokens"], call["cached_input_tokens"], call["input_source"]


def test_zeros_at_the_end_of_a_message_replace_no_input(reported):
    """A gateway tells 12 and 5,000 cached tokens first, and zeros at the end."""
    call, _ = reported('httpx.post(URL + "/claude/v1/messages", json={**ASK, "max_tokens": 9})')
    assert tokens(call) == (5012, 20, 5000, "provider")


def test_a_trailing_usage_of_zeros_replaces_nothing(reported):
    """A second usage chunk says nothing but zeros."""
    call, _ = reported('httpx.post(URL + "/gateway/v1/chat/completions", json=ASK)')
    assert tokens(call) == (1500, 20, None, "provider")


def test_a_usage_of_nothing_but_zeros_is_counted_here(reported):
    """A server that does not count says 0; a prompt that grows is seen all the same, and so is a long answer."""
    call, _ = reported(
        'ASK["messages"][0]["content"] = "word " * 400\nhttpx.post(URL + "/zeros/v1/chat/completions", json=ASK)'
    )
    assert call["input_tokens"] > 400
    assert call["output_tokens"] == 2
    assert (call["input_source"], call["output_source"]) == ("counted", "counted")


@pytest.mark.parametrize("asked", ["true", "false"])
def test_timings_are_read_and_stay_visible(reported, asked):
    """llama.cpp's exact counts are the provider's, whether usage was asked for and hidden or not."""
    call, _ = reported(
        """
import json
with httpx.stream("POST", URL + "/llama/v1/chat/completions", json=ASK) as response:
    lines = [line for line in response.iter_lines() if line.startswith("data: ")]
seen = [json.loads(line[6:]) for line in lines]
assert seen[-1]["timings"]["predicted_ms"] == 12.5
assert all(chunk["choices"] and "usage" not in chunk for chunk in seen)
""",
        "-o",
        f"tokenbudget_request_usage={asked}",
    )
    assert (call["input_tokens"], call["output_tokens"], call["input_source"]) == (47, 5, "provider")


def test_a_stream_that_nobody_read_is_said_to_be_unread(reported):
    """It is a call whose usage nobody saw, not an answer of a wrong shape."""
    _, messages = reported(
        """
with httpx.stream("POST", URL + "/gateway/v1/chat/completions", json=ASK) as response:
    assert response.status_code == 200
"""
    )
    assert any("left unread" in message for message in messages)
    assert not any("has not the shape" in message for message in messages)
