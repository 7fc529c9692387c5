"""The way to add a provider works as `CONTRIBUTING.md` describes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def test_the_format_of_the_walkthrough_reads_calls(project: Any) -> None:
    """Its blocks of code, in a conftest.py as they stand, read an API that nobody knew: plain, streamed and broken."""
    pytest.importorskip("httpx", reason="the traffic is made with httpx")
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    project.pytester.makeconftest("\n".join(blocks))
    project.write("""
import json, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
try:
    import httpx
except ImportError:
    import httpx2 as httpx

ANSWER = {"model": "mind-1", "thought": "why not", "tokens_read": 12, "tokens_written": 3}

class Think(BaseHTTPRequestHandler):
    def do_POST(self):
        stream = json.loads(self.rfile.read(int(self.headers["content-length"]))).get("stream")
        text = json.dumps(ANSWER)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if stream else "application/json")
        self.end_headers()
        self.wfile.write((f"data: {text}\\n\\n" if stream else text).encode())

    def log_message(self, *args):
        pass

@token_budget("10%")
def test_agent():
    with HTTPServer(("127.0.0.1", 0), Think) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            client.post("/v1/think", json={"model": "mind", "question": "why?"})
            client.post("/v1/think", json={"model": "mind", "question": "why?", "stream": True})
        server.shutdown()
""")
    project.run().assert_outcomes(passed=1)
    calls = project.test["calls"]
    assert [(c["api"], c["model"], c["input_tokens"], c["output_tokens"]) for c in calls] == [
        ("my.chat", "mind-1", 12, 3)
    ] * 2
    assert [call["stream"] for call in calls] == [False, True]
    assert project.test["composition"][""]["user"] > 0
