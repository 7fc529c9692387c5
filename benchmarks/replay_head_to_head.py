"""The change that a replay has to catch: the worker's system prompt grows threefold, and a tool's schema twofold.

A project is recorded once against a server, then changed, and replayed by pytest in a process of its own without any
server. The same changed agent replays vcrpy's cassette of the same run.

Targets: caught, exactly, with the right first cause, in under 1 s of wall time for the whole process. The best of several
runs is taken, since other processes of the machine only ever add to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from ledger_server import LedgerServer, Reply, ToolCall
from ledger_server.reply import Asked

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, environment

ROUNDS = 5
MOST_SECONDS = 1.0

AGENT = """
import json
from pathlib import Path

import httpx

from pytest_tokenbudget import stage

SETTINGS = json.loads(Path(__file__).with_name("settings.json").read_text())


def tool(name, text):
    schema = {"type": "object", "properties": {"day": {"type": "string", "description": text}}}
    return {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}


TOOLS = [tool("calendar_read", SETTINGS["schema"]), tool("calendar_write", SETTINGS["schema"] * SETTINGS["growth"])]


def run():
    with httpx.Client(base_url=SETTINGS["url"], verify=False) as client:
        def ask(messages, tools):
            body = {"model": "gpt-4o", "messages": messages, **({"tools": tools} if tools else {})}
            return client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]["message"]

        with stage("router"):
            ask([{"role": "user", "content": "Who takes this?"}], [])
        with stage("worker"):
            messages = [{"role": "system", "content": SETTINGS["system"]}, {"role": "user", "content": "Book Monday."}]
            for _ in range(4):
                said = ask(messages, TOOLS)
                messages.append({"role": "assistant", "content": said["content"]})
                messages.append({"role": "user", "content": "Go on."})
        with stage("finalize"):
            ask([{"role": "user", "content": "Turn it into JSON."}], [])
"""
OURS = """
from agent import run
from pytest_tokenbudget import token_budget

@token_budget("10%", replay="run")
def test_agent():
    run()
"""
THEIRS = """
import vcr
from agent import run

def test_agent():
    with vcr.VCR(record_mode="once").use_cassette("run.yaml"):
        run()
"""


def think(asked: Asked) -> Reply:
    """What the model answers: the worker calls a tool at first."""
    calls = (ToolCall("calendar_write", {"day": "Monday"}),) if "tools" in asked.body and asked.number == 1 else ()
    return Reply("That is done.", tool_calls=calls)


@dataclass(frozen=True)
class Outcome:
    """A run of pytest: its exit code, its wall time in s, and its report."""

    code: int
    seconds: float
    report: dict[str, Any]


def run(place: Path, test: str, *plugins: str) -> Outcome:
    """Run one test in a process of its own, with the plugins that it needs."""
    written = place / "report.json"
    written.unlink(missing_ok=True)
    options = ("--tokenbudget-report=report.json",) if PLUGIN in plugins else ()
    loaded = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ",".join(plugins)} if plugins else {}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={place}", *options, test]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=place, env=environment() | loaded, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    return Outcome(done.returncode, seconds, json.loads(written.read_text()) if written.exists() else {})


def settings(place: Path, url: str, *, system: int, growth: int) -> None:
    """The agent's prompt and schema, so many times as long."""
    text, schema = "You keep a calendar and are careful with what is booked. " * 8, "The day, as ISO 8601 has it. " * 4
    said = {"url": url, "system": text * system, "schema": schema, "growth": growth}
    (place / "settings.json").write_text(json.dumps(said))


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "agent.py").write_text(AGENT)
        (place / "test_ours.py").write_text(OURS)
        (place / "test_theirs.py").write_text(THEIRS)
        with LedgerServer(think) as server:
            settings(place, server.url, system=1, growth=1)
            for test in ("test_ours.py", "test_theirs.py"):
                server.forget()
                recorded = run(place, test, *([PLUGIN] if test == "test_ours.py" else []))
                if recorded.code:
                    raise RuntimeError(f"{test} cannot be recorded")
            settings(place, server.url, system=3, growth=2)
        runs = [run(place, "test_ours.py", PLUGIN) for _ in range(ROUNDS)]
        theirs = run(place, "test_theirs.py")
    (test,) = runs[0].report["tests"]
    (gate,) = (gate for gate in test["gates"] if gate["metric"] == "worker.input_tokens")
    causes = [cause for cause in test["causes"] if cause["metric"] == "worker.input_tokens"]
    grown = gate["value"] - gate["baseline"]
    added = sum(cause["delta"] for cause in causes)
    caught = all(one.code == 1 for one in runs) and gate["verdict"] == "regression"
    workers = [one.report["tests"][0]["stages"]["worker"] for one in runs]
    same = len({(worker["input_tokens"], worker["latency"]) for worker in workers}) == 1
    exact = gate["exact"] and added == grown and same
    right = [cause["part"] for cause in causes[:2]] == ["system", "tools"] and causes[1]["name"] == "calendar_write"
    seconds = min(one.seconds for one in runs)
    return report(
        [
            Figure("prompt threefold, schema twofold: caught", str(caught), "True", caught),
            Figure(f"  exactly: {grown:+,} tokens, causes add up to", f"{added:+,}", f"{grown:+,}", exact),
            Figure(f"  first causes: {causes[0]['text'][:40]}...", str(right), "True", right),
            Figure(
                "  wall time of the whole process", f"{seconds:.2f} s", f"< {MOST_SECONDS:g} s", seconds < MOST_SECONDS
            ),
            Figure("  vcrpy's replay of the same change", "passes" if theirs.code == 0 else "fails"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
