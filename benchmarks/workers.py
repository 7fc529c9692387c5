"""Tests per second under pytest-xdist: two workers against one, and what of it the controller does.

Each marked test makes one call to a loopback server that takes 20 ms to answer, as a remote model does: two workers wait at the same time.
The controller's part is the CPU time of its process for each test, with the plugin and without.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, run

ROUNDS, TESTS = 5, 300
LEAST, MOST_MS = 1.8, 2.0

CONFTEST = """
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

try:
    import httpx
except ImportError:
    import httpx2 as httpx

ANSWER = json.dumps({
    "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 16, "completion_tokens": 5, "total_tokens": 21},
}).encode()
MARKS = []


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(0.02)
        self.send_response(200)
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def client():
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            yield client
        server.shutdown()


def pytest_runtest_logreport(report):
    if report.when == "call" and "PYTEST_XDIST_WORKER" not in os.environ:
        MARKS.append((time.perf_counter(), time.process_time()))


def pytest_unconfigure():
    if len(MARKS) > 100:
        (began, before), (ended, after) = MARKS[50], MARKS[-1]
        count = len(MARKS) - 51
        print(f"rate: {count / (ended - began)} controller: {(after - before) / count * 1000}")
"""
TEST = f"""
import pytest

@pytest.mark.token_budget("900%", samples=1)
@pytest.mark.parametrize("number", range({TESTS}))
def test_agent(number, client):
    body = {{"model": "gpt-4.1-mini", "messages": [{{"role": "user", "content": f"What is {{number % 9}}?"}}]}}
    client.post("/v1/chat/completions", json=body).json()
"""


def measured(place: Path, workers: int, *, plugin: bool = True) -> tuple[float, float]:
    """Tests per second, and ms of the controller a test, after the first fifty."""
    only = ["xdist.plugin", *([PLUGIN] if plugin else [])]
    output = run(place, "-s", f"-n{workers}", only=only).output
    found = re.search(r"rate: ([\d.]+) controller: ([\d.]+)", output)
    assert found is not None, output
    return float(found[1]), float(found[2])


def main() -> int:
    """Measure and report."""
    ratios: list[float] = []
    parts: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "pytest.ini").write_text("[pytest]\nmarkers =\n    token_budget: known also without the plugin\n")
        (place / "conftest.py").write_text(CONFTEST)
        (place / "test_agent.py").write_text(TEST)
        measured(place, 1)  # writes the baseline
        for _ in range(ROUNDS):
            one, two = measured(place, 1), measured(place, 2)
            ratios.append(two[0] / one[0])
            parts.append(two[1] - measured(place, 2, plugin=False)[1])
    ratio, part = statistics.median(ratios), statistics.median(parts)
    return report(
        [
            Figure(
                f"tests per second, 2 workers against 1, {os.cpu_count()} cores",
                f"{ratio:.2f}x",
                f">= {LEAST}x",
                ratio >= LEAST,
            ),
            Figure(
                "the plugin's part of the controller, a test", f"{part:.2f} ms", f"<= {MOST_MS:g} ms", part <= MOST_MS
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
