"""What the plugin does between the end of a test's body and the next test, where the test made 30 calls of 64 KB.

The time from the body's last line to the end of the test's protocol (reading, composing, comparing with a stored baseline,
reporting), with the plugin minus without. Counting is taken out by a tokenizer that only looks at the length, as the
target is set without it. The first test of a session, which pays the imports, is shown apart.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, run

ROUNDS = 3
TESTS = 9
MOST_MS = 10.0

CONFTEST = '''
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

try:
    import httpx
except ImportError:
    import httpx2 as httpx

ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 16000, "completion_tokens": 5, "total_tokens": 16005},
}
ENDED = {}
AFTER = []


@pytest.hookimpl(optionalhook=True)
def pytest_tokenbudget_tokenizer(provider, model):
    return lambda text: len(text) // 4


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def model():
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def agent(request, model):
    """Makes 30 calls of 64 KB: a system prompt, a tool and 14 messages of 4 KB each, the history growing apart."""
    tool = {"type": "function", "function": {"name": "write", "description": "d" * 4000, "parameters": {}}}
    with httpx.Client(base_url=model) as client:
        def work():
            for number in range(30):
                said = [{"role": "user", "content": f"{number:03}" + "word " * 819} for _ in range(14)]
                messages = [{"role": "system", "content": "rule " * 819}, *said]
                body = {"model": "gpt-4.1-mini", "messages": messages, "tools": [tool]}
                client.post("/v1/chat/completions", json=body).json()
            ENDED[request.node.nodeid] = time.perf_counter()
        yield work


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    result = yield
    AFTER.append((time.perf_counter() - ENDED[item.nodeid]) * 1000)
    return result


def pytest_unconfigure():
    print("after:", json.dumps(AFTER))
'''
TEST = f"""
import pytest

@pytest.mark.token_budget("10%")
@pytest.mark.parametrize("number", range({TESTS}))
def test_agent(number, agent):
    agent()
"""


def after_ms(place: Path, only: list[str]) -> list[float]:
    """Time after the body of each test of a session, ms."""
    output = run(place, "-s", only=only).output
    return [float(value) for value in output.partition("after: [")[2].partition("]")[0].split(",")]


def main() -> int:
    """Measure and report."""
    first: list[float] = []
    later: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "pytest.ini").write_text("[pytest]\nmarkers =\n    token_budget: known also without the plugin\n")
        (place / "conftest.py").write_text(CONFTEST)
        (place / "test_body.py").write_text(TEST)
        run(place, only=[PLUGIN])  # writes the baseline
        for _ in range(ROUNDS):
            bare += after_ms(place, [])[1:]
            loaded = after_ms(place, [PLUGIN])
            first.append(loaded[0])
            later += loaded[1:]
    nothing = statistics.median(bare)
    spent = statistics.median(later) - nothing
    return report(
        [
            Figure("after the body of 30 calls of 64 KB", f"{spent:.1f} ms", f"<= {MOST_MS:g} ms", spent <= MOST_MS),
            Figure("  the first test of a session, imports included", f"{statistics.median(first) - nothing:.1f} ms"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
