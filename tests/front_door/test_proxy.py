"""Agents that are no Python go through the recording proxy; the report equals the server's books."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ledger_server import LedgerServer, Reply

NODE = Path(__file__).parent / "node"
CALENDAR = [{"role": "user", "content": "Book a room for Monday."}]


@pytest.fixture(scope="session")
def node_agent() -> str:
    """Node's ``openai`` and ``@anthropic-ai/sdk``, installed once beside the agent that uses them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node is not installed")
    with FileLock(str(NODE / ".lock")):
        if not (NODE / "node_modules" / ".package-lock.json").exists():
            done = subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund"], check=False, cwd=NODE, capture_output=True, timeout=300
            )
            if done.returncode:
                pytest.skip(f"npm cannot install the SDKs: {done.stderr.decode(errors='replace')[-200:]}")
    return str(NODE / "agent.mjs")


class Project:
    """A user's project whose upstreams are the ledger server."""

    def __init__(self, pytester: pytest.Pytester, server: LedgerServer) -> None:
        self.pytester = pytester
        self.server = server

    def run(self, body: str, *options: str, outcomes: dict[str, int] | None = None) -> pytest.RunResult:
        """Run a test module and check what came out."""
        self.pytester.makepyfile(test_agent=f"import json, os, subprocess, sys\nimport pytest\n{IMPORTS}{body}")
        shutil.rmtree(self.pytester.path / "__pycache__", ignore_errors=True)
        result = self.pytester.runpytest_inprocess(
            "--tokenbudget-report=report.json", "-p", "no:cacheprovider", *options
        )
        result.assert_outcomes(**(outcomes or {"passed": 1}))
        return result

    @property
    def test(self) -> dict[str, Any]:
        """The only test of the report."""
        (test,) = json.loads((self.pytester.path / "report.json").read_text(encoding="utf-8"))["tests"]
        return dict(test)


IMPORTS = "from pytest_tokenbudget import stage, token_budget\n"
CURL = """
def curl(url, body, *more):
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", url, "-H", "content-type: application/json", "-d", json.dumps(body), *more],
        capture_output=True, text=True,
    )
    return done.returncode, done.stdout

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Book a room for Monday."}]}
"""


@pytest.fixture
def project(pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project: the environment names the server as the place of each provider."""
    for name, path in {"OPENAI_BASE_URL": "/v1", "ANTHROPIC_BASE_URL": "", "GOOGLE_GEMINI_BASE_URL": ""}.items():
        monkeypatch.setenv(name, llm_server.url + path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-secret")
    return Project(pytester, llm_server)


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def test_the_sdks_of_node(project: Project, node_agent: str) -> None:
    """Plain and streamed, of two providers: each call is in the books once, in its stage."""
    project.run(f"""
@token_budget("10%")
def test_agent(llm_proxy):
    subprocess.run(["node", {node_agent!r}, "openai"], check=True, env={{**os.environ, **llm_proxy.env(stage="worker")}})
    with llm_proxy.environment(), stage("judge"):
        subprocess.run(["node", {node_agent!r}, "anthropic"], check=True)
""")
    calls, ledger = project.test["calls"], project.server.ledger
    assert [call["stage"] for call in calls] == ["worker"] * 3 + ["judge"] * 2
    assert [(call["input_tokens"], call["output_tokens"], call["stream"]) for call in calls] == [
        (entry.input_tokens, entry.output_tokens, entry.stream) for entry in ledger
    ]
    assert all(
        request.headers.get("authorization", "Bearer sk-secret") == "Bearer sk-secret"
        for request in project.server.requests
    )
    assert not [message for message in project.test["messages"] if "process" in message]


@needs_curl
def test_curl_and_stages(project: Project) -> None:
    """A stage by a path prefix, by a header and by the test; an answer of any status passes through."""
    project.server.play([Reply("one"), Reply("two"), Reply("three"), Reply(status=500), Reply("x" * 300_000)])
    project.run(
        CURL
        + """
@token_budget("10%")
def test_agent(llm_proxy):
    def post(url, *more):
        return curl(url + "/chat/completions", CHAT, *more)
    assert post(llm_proxy.url_for("openai", stage="worker/finalize"))[0] == 0
    assert post(llm_proxy.url_for("openai"), "-H", "x-tokenbudget-stage: router")[0] == 0
    with stage("judge"):
        assert post(llm_proxy.url_for("openai"))[0] == 0
        code, said = post(llm_proxy.url_for("openai"))
        assert (code, json.loads(said)["error"]["message"]) == (22, "scripted 500")
    assert len(post(llm_proxy.url_for("openai"), "--http1.0", "--no-keepalive")[1]) > 300_000
"""
    )
    test = project.test
    assert [call["stage"] for call in test["calls"]] == ["worker/finalize", "router", "judge", "judge", "main"]
    assert [call["status"] for call in test["calls"]] == [200, 200, 200, 500, 200]
    assert test["total"]["input_tokens"] == project.server.ledger.total("input_tokens")


def test_watched_clients_are_counted_once(project: Project) -> None:
    """In the test's own process and in a child: the client knows the stage, and the proxy passes on."""
    project.run("""
CODE = '''
import openai
from pytest_tokenbudget import stage
with stage("worker"):
    openai.OpenAI(max_retries=0).chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
'''

@token_budget("10%", stop_at={"calls": 2})
def test_agent(llm_proxy):
    with llm_proxy.environment():
        exec(CODE)
        subprocess.run([sys.executable, "-c", CODE], check=True)
""")
    assert [call["stage"] for call in project.test["calls"]] == ["worker", "worker"]
    assert project.test["total"]["input_tokens"] == project.server.ledger.total("input_tokens")
    assert len(project.server.ledger) == 2


@needs_curl
def test_it_is_no_open_proxy(project: Project) -> None:
    """It forwards to configured servers, for requests that mean it, and puts the environment back."""
    project.run(
        CURL
        + """
import urllib.error, urllib.request

@token_budget("off")
def test_agent(llm_proxy):
    before = dict(os.environ)
    with llm_proxy.environment() as variables:
        assert os.environ["OPENAI_BASE_URL"] == variables["OPENAI_BASE_URL"] == llm_proxy.url_for("openai")
    assert dict(os.environ) == before
    code, said = curl(llm_proxy.url + "/evil.example.com/v1/chat/completions", CHAT)
    assert code == 22 and "no such upstream" in said
    code, said = curl("http://evil.example.com/openai/v1/chat/completions", CHAT, "--proxy", llm_proxy.url)
    assert code == 22 and "this server is" in said
    code, said = curl(llm_proxy.url_for("azure") + "/openai/deployments/x/chat/completions", CHAT)
    assert code == 22 and "llm_proxy.upstream('azure'" in said
    llm_proxy.upstream("gateway", "http://127.0.0.1:9/v1")
    code, said = curl(llm_proxy.url_for("gateway") + "/chat/completions", CHAT)
    assert code == 22 and "cannot be reached" in said
    with pytest.raises(Exception, match="no upstream 'nothing'"):
        llm_proxy.url_for("nothing")
    llm_proxy.upstream("gateway", os.environ["OPENAI_BASE_URL"])
    assert curl(llm_proxy.url_for("gateway") + "/chat/completions", CHAT)[0] == 0
"""
    )
    assert len(project.server.ledger) == 1


@needs_curl
def test_scripts_and_recordings_answer_through_the_proxy(project: Project) -> None:
    """Any language runs offline: by a script, or by what was recorded, with the server gone."""
    project.run(
        CURL
        + """
from pytest_tokenbudget.replay.script import text

@token_budget("10%")
def test_agent(llm_proxy, scripted_llm):
    scripted_llm.pace(ttft=2)
    scripted_llm.add(text("Booked."))
    code, said = curl(llm_proxy.url_for("openai") + "/chat/completions", CHAT)
    assert json.loads(said)["choices"][0]["message"]["content"] == "Booked."
"""
    )
    assert (project.test["traffic"], project.test["total"]["latency"]) == ("scripted", 2.0)
    assert not project.server.ledger
    recorded = (
        CURL
        + """
@token_budget("10%", replay=True)
def test_recorded(llm_proxy):
    code, said = curl(llm_proxy.url_for("openai") + "/chat/completions", {**CHAT, "stream": True}, "-H", "authorization: Bearer sk-secret")
    assert said.strip().endswith("data: [DONE]")
    assert curl(llm_proxy.url_for("openai") + "/chat/completions", CHAT)[0] == 0
"""
    )
    project.server.play([Reply("Booked.", delay=0.3), Reply("Moved.", delay=0.3)])
    project.run(recorded)
    assert len(project.server.ledger) == 2
    (cassette,) = (project.pytester.path / "__budgets__").rglob("*.jsonl")
    assert "sk-secret" not in cassette.read_text()
    project.server.__exit__(None, None, None)
    project.run(recorded)
    assert project.test["traffic"] == "replay"
    assert project.test["total"]["calls"] == 2
    assert 0.6 <= project.test["total"]["latency"] < 0.8
