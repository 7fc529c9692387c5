"""Replay: recorded once from live traffic, then exact, free and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ledger_server import LedgerServer, Reply, ToolCall

AGENT = """
TOOLS = {tools}

@token_budget("10%", replay=True)
def test_agent(ask, budget):
    with stage("worker"):
        for n in range({calls}):
            ask({prompt!r} + str(n), tools=TOOLS)
    ask("bye", stage_name="finalize")
"""
TOOL = '[{{"type": "function", "function": {{"name": "{name}", "description": "{text}", "parameters": {{}}}}}}]'


def _agent(*, calls: int = 3, prompt: str = "hello", tool: str = "calendar_write", text: str = "Writes.") -> str:
    return AGENT.format(calls=calls, prompt=prompt, tools=TOOL.format(name=tool, text=text))


@pytest.fixture
def recorded(project: Any) -> Any:
    """A project whose test was recorded from the server."""
    call = ToolCall("calendar_write", {"title": "a"})
    project.server.play(
        [Reply("ok", input_tokens=500, output_tokens=7, delay=0.02)] * 2 + [Reply(tool_calls=(call,), delay=0.02)]
    )
    project.write(_agent())
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    return project


def _cassette(project: Any) -> Path:
    (path,) = (project.pytester.path / "__budgets__" / "cassettes").glob("*.jsonl")
    return Path(path)


TOKENS = (
    "input_tokens",
    "output_tokens",
    "calls",
    "failed_attempts",
    "tool_calls",
    "tool_schema_tokens",
    "system_tokens",
    "cost",
)


def test_unchanged_code_replays_to_the_token(recorded: Any) -> None:
    """The replay asks no server and equals the live run in every count, and in time."""
    live, asked = recorded.test, len(recorded.server.ledger)
    for _ in range(2):
        recorded.run().assert_outcomes(passed=1)
        replayed = recorded.test
        assert (replayed["traffic"], replayed["verdict"]) == ("replay", "ok")
        assert len(recorded.server.ledger) == asked
        for name in TOKENS:
            assert replayed["total"][name] == live["total"][name]
            assert replayed["stages"]["worker"][name] == live["stages"]["worker"][name]
        assert [c["input_source"] for c in replayed["calls"]] == ["calibrated"] * 4
        assert replayed["total"]["model_time"] == pytest.approx(live["total"]["model_time"], rel=0.05)


def test_a_longer_prompt_is_counted_now_and_calibrated(recorded: Any) -> None:
    """A schema that grew fails, exactly, with the schema as the first cause, and nothing is sent."""
    asked = len(recorded.server.ledger)
    recorded.write(_agent(text="Writes. " + "And explains at length what it has written. " * 40))
    recorded.run().assert_outcomes(failed=1)
    gate = recorded.gate("worker.input_tokens")
    assert gate["verdict"] == "regression"
    assert gate["exact"] is True
    causes = [cause for cause in recorded.test["causes"] if cause["metric"] == "worker.input_tokens"]
    assert (causes[0]["part"], causes[0]["name"]) == ("tools", "calendar_write")
    assert sum(cause["delta"] for cause in causes) == gate["value"] - gate["baseline"]
    assert len(recorded.server.ledger) == asked


def test_a_recording_is_judged_by_its_own_replay(recorded: Any) -> None:
    """The run that records reports what was live, and stores what later runs are compared with: exact projected times."""
    live = recorded.test
    assert live["traffic"] == "live"
    assert {call["input_source"] for call in live["calls"]} == {"provider"}
    assert '"traffic": "replay"' in recorded.baseline
    recorded.run().assert_outcomes(passed=1)
    assert recorded.gate("worker.latency")["exact"] is True
    assert recorded.gate("worker.latency")["change"] == 0
    recorded.write(_agent().replace("            ask(", "            __import__('time').sleep(30); ask(", 1))
    recorded.run().assert_outcomes(failed=1)
    assert recorded.gate("worker.latency")["verdict"] == "regression"


def test_a_run_that_does_not_fit_its_own_recording_fails(project: Any) -> None:
    """An agent that calls once more each time it runs cannot be replayed, and that is said at once."""
    project.write("""
RUNS = []

@token_budget("10%", replay=True)
def test_agent(ask):
    RUNS.append(1)
    for _ in RUNS:
        ask()
""")
    project.run().assert_outcomes(failed=1)
    assert project.test["verdict"] == "diverged"


def test_retries_wait_as_long_in_every_replay(recorded: Any) -> None:
    """A random wait, as SDKs have it before they retry, is the same each time, whatever seeds the session."""
    recorded.write(
        _agent().replace('    ask("bye"', '    __import__("time").sleep(__import__("random").random()); ask("bye"')
    )
    recorded.run("--tokenbudget-update").assert_outcomes(passed=1)
    first = recorded.test["total"]["latency"]
    recorded.run().assert_outcomes(passed=1)
    assert recorded.test["total"]["latency"] == first


def test_a_call_beyond_the_recording_fails_the_gate_and_its_figures_are_estimated(recorded: Any) -> None:
    """It is answered like another call of its stage that offers the same, shows what it costs, and is not stored."""
    then = recorded.test["total"]
    recorded.write(_agent(calls=4))
    result = recorded.run()
    result.assert_outcomes(failed=1)
    assert (recorded.test["verdict"], recorded.gate("worker.calls")["verdict"]) == ("regression", "regression")
    assert (recorded.gate("worker.calls")["value"], recorded.gate("worker.calls")["source"]) == (4, "")
    for name in ("worker.input_tokens", "worker.latency", "output_tokens"):
        assert recorded.gate(name)["source"] == "estimated", name
    assert [call["estimated"] for call in recorded.test["calls"]] == [False, False, False, True, False]
    assert recorded.gate("input_tokens")["value"] == then["input_tokens"] + 500
    extra = recorded.test["calls"][3]["latency"]
    assert extra in [pytest.approx(call["latency"], abs=1e-6) for call in recorded.test["calls"][:3]]
    assert recorded.test["stages"]["worker"]["latency"] == pytest.approx(
        sum(call["latency"] for call in recorded.test["calls"][:4]), abs=1e-6
    )
    result.stdout.fnmatch_lines(
        [
            "*(estimated)*",
            "*1 call beyond the recording in stage 'worker'*estimated*",
            "*wanted?*--tokenbudget-traffic=record --tokenbudget-update*",
        ]
    )
    kept = recorded.baseline
    updated = recorded.run("--tokenbudget-update")
    updated.stdout.fnmatch_lines(
        ["*not stored*beyond the recording*--tokenbudget-traffic=record --tokenbudget-update*"]
    )
    assert updated.ret != 0
    assert recorded.baseline == kept
    recorded.run("--tokenbudget-traffic=record", "--tokenbudget-update").assert_outcomes(passed=1)
    recorded.run().assert_outcomes(passed=1)
    assert recorded.test["verdict"] == "ok"
    assert not any(call["estimated"] for call in recorded.test["calls"])


def test_a_call_beyond_the_recording_that_every_gate_allows_is_said(recorded: Any) -> None:
    """What passes by an estimate says so."""
    recorded.write(_agent(calls=4).replace('"10%"', '"200%"'))
    result = recorded.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*1 call beyond the recording in stage 'worker'*estimated*"])


@pytest.mark.parametrize(
    "extra",
    [
        'ask("summarise", stage_name="worker")',
        'ask("hello", stage_name="worker", tools=TOOLS, model="gpt-4o-mini")',
        'ask("hello", stage_name="worker", tools=TOOLS, stream=True)',
        'ask("hello", stage_name="worker", tools=TOOLS, response_format={"type": "json_object"})',
    ],
)
def test_a_call_of_a_kind_that_was_not_recorded_diverges(recorded: Any, extra: str) -> None:
    """Nothing in the cassette has its shape: another model, another way to answer, no tools."""
    recorded.write(_agent() + f"    {extra}\n")
    recorded.run().assert_outcomes(failed=1)
    assert recorded.test["verdict"] == "diverged"
    assert recorded.test["gates"] == []


def test_an_extra_call_within_a_loop_takes_no_answer_from_it(project: Any) -> None:
    """A call without tools between two that offer them is answered like the last one, which offers none either."""
    source = """
TOOLS = [{"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}]

@token_budget("10%", replay=True)
def test_agent(ask):
    ask("question", tools=TOOLS)
    EXTRA
    ask("result", tools=TOOLS)
    ask("as json")
"""
    call = ToolCall("look", {"at": "a"})
    project.server.play([Reply(tool_calls=(call,)), Reply(tool_calls=(call,)), Reply("done")])
    project.write(source.replace("EXTRA", "pass"))
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    project.write(source.replace("EXTRA", 'ask("is that enough?")'))
    project.run().assert_outcomes(failed=1)
    assert [call["estimated"] for call in project.test["calls"]] == [False, True, False, False]
    assert project.gate("calls")["verdict"] == "regression"
    assert project.gate("output_tokens")["source"] == "estimated"


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"calls": 20}, "*makes call*no answer*"),
        (
            {"calls": 4, "tool": "calendar_edit"},
            "*calls the tool 'calendar_write', which the request no longer offers*",
        ),
        ({"calls": 2}, "*1 recorded answers were not asked for*worker*"),
        ({"tool": "calendar_edit"}, "*calls the tool 'calendar_write', which the request no longer offers*"),
    ],
)
def test_a_run_that_no_longer_fits_diverges(recorded: Any, changed: dict[str, Any], hint: str) -> None:
    """More or fewer calls, or a tool that is gone, are said; no numbers are made up."""
    recorded.write(_agent(**changed))
    result = recorded.run()
    result.assert_outcomes(failed=1)
    assert recorded.test["verdict"] == "diverged"
    assert recorded.test["gates"] == []
    result.stdout.fnmatch_lines([hint, "*--tokenbudget-traffic=record*"])


def test_recording_anew_replaces_the_cassette(recorded: Any) -> None:
    """--tokenbudget-traffic=record asks the model again; a failed run leaves the old cassette."""
    before = _cassette(recorded).read_bytes()
    recorded.write(_agent(calls=4).replace('ask("bye"', 'assert 0; ask("bye"'))
    recorded.run("--tokenbudget-traffic=record").assert_outcomes(failed=1)
    assert _cassette(recorded).read_bytes() == before
    recorded.write(_agent(calls=4))
    recorded.run("--tokenbudget-traffic=record", "--tokenbudget-update").assert_outcomes(passed=1)
    assert _cassette(recorded).read_bytes() != before
    recorded.run().assert_outcomes(passed=1)


def test_ci_never_records(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI is set a missing cassette fails before anything is sent."""
    monkeypatch.setenv("CI", "true")
    project.write(_agent())
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no cassette*", "*--tokenbudget-traffic=record*"])
    assert not project.server.ledger


def test_a_cassette_holds_no_credentials(project: Any, llm_server: LedgerServer) -> None:
    """Keys in headers and URLs stay out; one in a prompt keeps the cassette from being written."""
    source = f"""
try:
    import httpx
except ImportError:
    import httpx2 as httpx

@token_budget("10%", replay="named")
def test_agent():
    httpx.post(
        {llm_server.url!r} + "/v1/chat/completions?key=AIzaSECRET&api-version=1",
        headers={{"authorization": "Bearer sk-abcdefghijklmnopqrstuvwx", "cookie": "secret"}},
        json={{"model": "gpt-4o", "messages": [{{"role": "user", "content": TEXT}}]}},
    )
"""
    project.write('TEXT = "my account is acct-12345"\n' + source)
    project.run("-o", r"tokenbudget_redact=acct-\d+").assert_outcomes(passed=1)
    path = project.pytester.path / "__budgets__" / "cassettes" / "named.jsonl"
    text = path.read_text(encoding="utf-8")
    for secret in ("SECRET", "sk-abc", "cookie", "acct-12345", "authorization"):
        assert secret not in text
    assert "[redacted]" in text
    kept = path.read_bytes()
    project.write('TEXT = "use sk-abcdefghijklmnopqrstuvwx"\n' + source)
    result = project.run("--tokenbudget-traffic=record")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*looks like a key*", "*tokenbudget_redact*"])
    assert path.read_bytes() == kept


def test_damaged_cassettes_name_the_line(recorded: Any) -> None:
    """A broken line is one clear error, without a traceback."""
    path = _cassette(recorded)
    lines = path.read_text(encoding="utf-8").splitlines()
    for broken, hint in (
        ([*lines[:2], "{", *lines[3:]], "*line 3: is no JSON*"),
        (["{}", *lines[1:]], "*line 1: does not say*"),
        (['{"tokenbudget_cassette":99}', *lines[1:]], "*format 99*"),
        (lines[:1] + lines[2:], "*is damaged*"),
    ):
        path.write_text("\n".join(broken), encoding="utf-8")
        result = recorded.run()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([hint])
        result.stdout.no_fnmatch_line("*Traceback*")


def test_scenarios_keep_each_turns_numbers(project: Any) -> None:
    """A conversation of three turns has three rows of numbers."""
    project.write("""
@token_budget("10%")
def test_agent(ask, scenario):
    replies = scenario(lambda said: ask(said).status_code, turns=["create", "move it", "cancel that meeting"])
    assert replies == [200, 200, 200]
""")
    project.run().assert_outcomes(passed=1)
    turns = project.test["turns"]
    assert [turn["turn"] for turn in turns] == [1, 2, 3]
    assert [turn["input_tokens"] for turn in turns] == [entry.input_tokens for entry in project.server.ledger]


def test_scenarios_are_loaded_from_a_file(project: Any) -> None:
    """Turns may stand in a file beside the test, for synchronous and asynchronous agents."""
    (project.pytester.path / "calendar.json").write_text('{"turns": ["create", "cancel"]}')
    project.write("""
import asyncio

@token_budget("10%")
def test_agent(ask, scenario):
    calendar = scenario.load("calendar.json")
    assert len(calendar(ask)) == 2

    async def agent(said):
        return ask(said).status_code
    assert asyncio.run(calendar.arun(agent)) == [200, 200]
""")
    project.run().assert_outcomes(passed=1)
    assert len(project.test["turns"]) == 4


def test_an_agent_that_remembers_its_answers_is_told_so(project: Any) -> None:
    """A cache in the process answers the second run: the recording is not to blame."""
    project.write("""
KNOWN = {}

@token_budget("10%", replay=True)
def test_agent(ask):
    for prompt in ("a", "b"):
        if prompt not in KNOWN:
            KNOWN[prompt] = ask(prompt)
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert project.test["verdict"] == "diverged"
    assert project.test["total"] == {}
    result.stdout.fnmatch_lines(
        ["*a cache in the process answers instead of the model*", "*switch it off in the test*"]
    )


def test_the_cassette_is_among_what_is_to_be_committed(project: Any) -> None:
    """The advice names both files."""
    project.write(_agent())
    result = project.run("--tokenbudget-samples=1")
    result.stdout.fnmatch_lines(["*wrote __budgets__/test_agent.json, __budgets__/cassettes/*.jsonl; commit them*"])


@pytest.mark.parametrize("name", ['"a\\x1bb"', '"a\\nb"', '"\\x00"'])
def test_names_of_cassettes_hold_no_control_characters(project: Any, name: str) -> None:
    """The marker is refused before anything runs."""
    project.write(f"@token_budget(replay={name})\ndef test_agent(ask):\n    ask()\n")
    result = project.run()
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*holds a control character*"])


@pytest.mark.parametrize("name", ["日" * 120, "a" * 300])
def test_long_names_become_short_files(project: Any, name: str) -> None:
    """No name is longer than a file system takes, in bytes, and it is found again."""
    project.write(f"@token_budget('10%', replay={name!r})\ndef test_agent(ask):\n    ask()\n")
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    assert len(_cassette(project).name.encode()) < 255
    project.run("--tokenbudget-traffic=replay").assert_outcomes(passed=1)


SERVED = '''
import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

try:
    import httpx
except ImportError:
    import httpx2 as httpx

from conftest import URL

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


class Tool(BaseHTTPRequestHandler):
    """A tool that takes its time: it sleeps, or it waits for something outside of Python's sight."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/slow":
            threading.Event().wait(0.4)
        else:
            time.sleep(0.15)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def tool():
    with ThreadingHTTPServer(("127.0.0.1", 0), Tool) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def ask(client):
    await client.post(URL + "/v1/chat/completions", json=BODY)


@token_budget("10%", replay=True)
def test_beside(tool):
    async def look_up_and_ask():
        async with httpx.AsyncClient() as client:
            await client.post(tool + "/quick", json={})
            await ask(client)

    async def both():
        async with httpx.AsyncClient() as client:
            await asyncio.gather(ask(client), look_up_and_ask())

    asyncio.run(both())


@token_budget("10%", replay=True)
def test_slow(tool):
    async def run():
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(2):
                await ask(client)
                await client.post(tool + "/slow", json={})

    asyncio.run(run())


@pytest.fixture(scope="session")
def ticking(tool):
    """An event loop in a thread of its own that serves an agent, and ticks."""
    loop = asyncio.new_event_loop()

    async def tick():
        async with await asyncio.start_server(lambda *streams: None, "127.0.0.1", 0):
            while True:
                await asyncio.sleep(0.05)

    def serve():
        asyncio.set_event_loop(loop)
        ticks = loop.create_task(tick())
        loop.run_forever()
        ticks.cancel()
        loop.run_until_complete(asyncio.gather(ticks, return_exceptions=True))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@token_budget("10%", replay=True)
def test_served(tool, ticking):
    async def handle():
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(2):
                await ask(client)
                await client.post(tool + "/slow", json={})

    asyncio.run_coroutine_threadsafe(handle(), ticking).result()
'''


def test_what_a_server_in_a_thread_takes_is_the_same_in_every_replay(project: Any) -> None:
    """Neither a timeout that guards a tool, nor a server's ticks, nor who begins first puts real waits into the latency."""
    project.server.play(lambda asked: Reply("ok", delay=0.2))
    project.write(SERVED)
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=3)
    seen = []
    for _ in range(2):
        project.run().assert_outcomes(passed=3)
        tests = project.report["tests"]
        assert {test["verdict"] for test in tests} == {"ok"}
        assert all(gate["exact"] for test in tests for gate in test["gates"] if gate["metric"].endswith("latency"))
        seen.append({test["nodeid"].rpartition("::")[2]: test["total"]["latency"] for test in tests})
    assert seen[0] == seen[1]
    assert seen[0]["test_beside"] == pytest.approx(0.35, abs=0.1)
    assert seen[0]["test_slow"] == pytest.approx(0.4, abs=0.1)
    assert seen[0]["test_served"] == pytest.approx(0.4, abs=0.1)
