"""The whole offline gate: a pytest process with one replayed test, beside the same test without the plugin.

The agent asks three times through httpx and sends three tools. Measured are a run in which nothing changed, one whose system
prompt grew, and one whose system prompt has never been counted before, which loads the vocabulary. Each is CPU time of the
whole process, in interleaved rounds, with pytest's cache as the run before left it. Without the plugin the same agent is
answered by a mock transport of httpx, so that what remains is pytest and the client.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from ledger_server import LedgerServer, Reply

from benchmarks.figures import Figure, report
from benchmarks.processes import cpu_seconds, interleaved
from benchmarks.sessions import EMPTY, PLUGIN, environment

MOST_SAME = 1.5
MOST_GROWN = 1.6
WORDS = 100

AGENT = """
import os

import httpx

URL = os.environ.get("URL", "http://127.0.0.1:9")
DAY = {"type": "object", "properties": {"day": {"type": "string", "description": "The day. " * 4}}}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": f"Use {name} for days. " * 8, "parameters": DAY}}
    for name in ("read", "write", "move")
]

def run(mounts=None):
    system = "Be careful. " * int(os.environ["WORDS"])
    with httpx.Client(base_url=URL, mounts=mounts) as client:
        for number in range(3):
            messages = [{"role": "system", "content": system}, {"role": "user", "content": f"hello {number}"}]
            body = {"model": "gpt-4o", "tools": TOOLS, "messages": messages}
            assert client.post("/v1/chat/completions", json=body).json()["choices"]
"""
GATE = """
from agent import run
from pytest_tokenbudget import token_budget

@token_budget("10%", replay=True)
def test_agent():
    run()
"""
BARE = """
import httpx
from agent import run

def test_agent():
    run({"all://": httpx.MockTransport(lambda request: httpx.Response(200, json={"choices": [1]}))})
"""


def make(place: Path) -> None:
    """Write the agent and its two tests, and record the model's answers."""
    (place / "agent.py").write_text(AGENT)
    (place / "test_gate.py").write_text(GATE)
    (place / "test_bare.py").write_text(BARE)
    (place / f"{EMPTY}.py").touch()
    with LedgerServer(lambda _: Reply("A sentence. " * 20)) as server:
        variables = environment() | {"URL": server.url, "WORDS": str(WORDS)}
        record = [sys.executable, "-m", "pytest", "-q", "test_gate.py", "--tokenbudget-traffic=record"]
        subprocess.run(
            record, cwd=place, env=variables, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make(place)
        uncounted = itertools.count(WORDS * 2)

        def side(file: str, plugin: str, words: Callable[[], int], code: int = 0) -> Callable[[], float]:
            command = [sys.executable, "-m", "pytest", "-q", file]

            def run() -> float:
                loaded = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": plugin, "WORDS": str(words())}
                return cpu_seconds(command, place, code=code, variables=loaded)

            return run

        times = interleaved(
            {
                "bare": side("test_bare.py", EMPTY, partial(int, WORDS)),
                "same": side("test_gate.py", PLUGIN, partial(int, WORDS)),
                "grown": side("test_gate.py", PLUGIN, partial(int, WORDS * 3 // 2), code=1),
                "new": side("test_gate.py", PLUGIN, partial(next, uncounted), code=1),
            }
        )
    bare = times["bare"]
    same, grown, new = (times[name].median / bare.median for name in ("same", "grown", "new"))
    return report(
        [
            Figure("pytest with the client, without the plugin", str(bare)),
            Figure("the offline gate, nothing changed", str(times["same"])),
            Figure("  by the bare session", f"{same:.2f}", f"<= {MOST_SAME}", same <= MOST_SAME),
            Figure("the offline gate, a prompt grew", str(times["grown"])),
            Figure("  by the bare session", f"{grown:.2f}", f"<= {MOST_GROWN}", grown <= MOST_GROWN),
            Figure("the offline gate, a prompt that was never counted", str(times["new"])),
            Figure("  by the bare session", f"{new:.2f}"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
