"""The way to add a provider works as `CONTRIBUTING.md` describes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def test_the_format_of_the_walkthrough_reads_calls(project: Any) -> None:
    """Its blocks of code, in a conftest.py as they stand, read an API that nobody knew: calls, and what stands beside them."""
    pytest.importorskip("httpx", reason="the traffic is made with httpx")
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    project.pytester.makeconftest("\n".join(blocks))
    project.write("""
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
import httpx

ANSWER = json.dumps({"model": "mind-1", "thought": "why not", "tokens_read": 12, "tokens_written": 3}).encode()

class Minds(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        streamed = asked.get("stream")
        self.answer(b"data: " + ANSWER + b"\\n\\n" if streamed else ANSWER, "text/event-stream" if streamed else "application/json")

    def do_GET(self):
        self.answer(b"[]", "application/json")

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

@pytest.fixture
def client():
    server = HTTPServer(("127.0.0.1", 0), Minds)
    thread = Thread(target=server.serve_forever)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as made:
        yield made
    server.shutdown()
    server.server_close()
    thread.join()

@token_budget("10%", limit={"calls": 2}, stop_at={"calls": 2})
def test_agent(client):
    client.get("/v1/minds")
    client.post("/v1/think", json={"model": "mind", "question": "why?"})
    client.post("/v1/draw", json={"picture": "a cat"})
    client.post("/v1/think", json={"model": "mind", "question": "why?", "stream": True})
""")
    project.run().assert_outcomes(passed=1)
    calls = project.test["calls"]
    assert [(c["api"], c["model"], c["input_tokens"], c["output_tokens"]) for c in calls] == [
        ("my.chat", "mind-1", 12, 3)
    ] * 2
    assert [call["stream"] for call in calls] == [False, True]
    assert project.test["composition"][""]["user"] > 0
    assert [one["api"] for one in project.test["paid"]] == ["my.chat"]
