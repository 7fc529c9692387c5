"""What if: a cut that is recounted on the recording says what a replay says once the cut is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledger_server import LedgerServer, Reply, ToolCall

from pytest_tokenbudget.cli.main import main
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.recording import save
from pytest_tokenbudget.replay.request_cuts import change_tools, tools_of

pytest.importorskip("httpx", reason="httpx is not installed")

AGENT = """
import httpx
from pytest_tokenbudget import stage, token_budget

WORDS = {words}

def tool(name, words):
    day = {{"type": "string", "description": "day word " * (words // 2)}}
    schema = {{"type": "object", "properties": {{"day": day, "title": {{"type": "string"}}}}, "required": ["day"]}}
    return {{"type": "function", "function": {{"name": name, "description": "one word " * (words // 2), "parameters": schema}}}}

TOOLS = [tool("calendar_write", WORDS), tool("calendar_read", 30)] + ([tool("mail_send", 60)] if {mail} else [])

def ask(messages, **more):
    body = {{"model": {model!r}, "messages": messages, **more}}
    message = httpx.post({url!r} + "/v1/chat/completions", json=body).json()["choices"][0]["message"]
    messages.append(message)
    return message

@token_budget("10%", replay=True)
def test_agent():
    messages = [{{"role": "system", "content": "You keep a calendar."}}, {{"role": "user", "content": "Move my lunch."}}]
    with stage("worker"):
        while calls := ask(messages, tools=TOOLS).get("tool_calls"):
            messages += [{{"role": "tool", "tool_call_id": call["id"], "content": "done " * 20}} for call in calls]
        if {finalize}:
            with stage("finalize"):
                ask(messages[:2] + [{{"role": "user", "content": "Say it as JSON."}}])
"""

CALL = ToolCall("calendar_write", {"title": "lunch"})
REPLIES = [
    Reply(tool_calls=(CALL,), input_tokens=611),
    Reply(tool_calls=(CALL,), input_tokens=702),
    Reply("Moved.", input_tokens=790),
    Reply("{}", input_tokens=97),
]


class Agent:
    """An agent in a project of its own, recorded once and replayed after each change."""

    def __init__(self, pytester: pytest.Pytester, server: LedgerServer, *, model: str) -> None:
        self.pytester, self.server, self.model = pytester, server, model
        server.play(REPLIES)
        self.run()

    def run(self, *args: str, **changes: Any) -> dict[str, Any]:
        """Run the test with a change of the code; gives its part of the report."""
        given = {"words": 200, "mail": True, "finalize": True, "model": self.model, "url": self.server.url} | changes
        self.pytester.makepyfile(test_agent=AGENT.format(**given))
        options = ("--tokenbudget-report=report.json", "--tokenbudget=report", *args)
        self.pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)
        (test,) = json.loads(Path(self.pytester.path, "report.json").read_text())["tests"]
        return dict(test)


@pytest.fixture(params=["gpt-4o", "deepseek-chat"])
def agent(
    request: pytest.FixtureRequest, pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> Agent:
    """An agent that was recorded from the ledger server."""
    # Byte code is taken for fresh where a text of the same length was written within the same second.
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    return Agent(pytester, llm_server, model=request.param)


@pytest.fixture
def whatif(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; gives its JSON."""

    def run(*args: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["whatif", *args, "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out)["tests"][0])

    return run


NODEID = "test_agent.py::test_agent"
FIGURES = (
    "input_tokens",
    "output_tokens",
    "calls",
    "tool_schema_tokens",
    "history_tokens",
    "fresh_input_tokens",
    "cost",
)


def _figures(test: dict[str, Any]) -> dict[str, Any]:
    stages = {"": test["total"], **test["stages"]}
    return {f"{stage}.{name}": values[name] for stage, values in stages.items() for name in FIGURES}


def test_a_dropped_tool_costs_what_its_replay_says(agent: Agent, whatif: Any) -> None:
    """Every figure is that of the replay after the change, to the token, and the causes add up to the difference."""
    unchanged = agent.run()
    asked = whatif(NODEID, "--drop-tool", "mail_send")
    assert {**asked["before"]["total"]}["input_tokens"] == unchanged["total"]["input_tokens"] == 611 + 702 + 790 + 97
    changed = agent.run(mail=False)
    assert changed["traffic"] == "replay"
    assert _figures(asked) == _figures(changed)
    assert asked["composition"] == changed["composition"]
    saved = changed["total"]["input_tokens"] - unchanged["total"]["input_tokens"]
    causes = [cause for cause in asked["causes"] if cause["metric"] == "input_tokens"]
    assert sum(cause["delta"] for cause in causes) == saved < -100
    assert {cause["name"] for cause in causes if cause["part"] == "tools"} >= {"mail_send"}
    assert any("would have answered the same" in message for message in asked["messages"])


def test_a_dropped_stage_costs_what_its_replay_says(agent: Agent, whatif: Any) -> None:
    """The calls of the stage are gone, those around it stay."""
    asked = whatif(NODEID, "--drop-stage", "worker/finalize")
    total = asked["total"]
    assert (total["calls"], total["input_tokens"]) == (3, 611 + 702 + 790)
    assert "worker/finalize" not in asked["stages"]
    # A run with fewer calls does not fit its recording, so that of the changed code is recorded.
    agent.server.play(REPLIES[:3])
    changed = agent.run("--tokenbudget-traffic=record", finalize=False)
    assert total["input_tokens"] == pytest.approx(changed["total"]["input_tokens"], rel=0.05)
    assert total["output_tokens"] == pytest.approx(changed["total"]["output_tokens"], rel=0.05)


def test_a_shrunk_schema_costs_about_what_its_replay_says(agent: Agent, whatif: Any) -> None:
    """Half of a schema by its descriptions is what an author who halves them gets."""
    asked = whatif(NODEID, "--shrink", "calendar_write=50%")
    before = next(part["largest"] for part in asked["before"]["parts"]["worker"] if part["name"] == "calendar_write")
    after = next(part["largest"] for part in asked["parts"]["worker"] if part["name"] == "calendar_write")
    assert after == pytest.approx(before / 2, abs=3)
    changed = agent.run(words=92)
    assert asked["total"]["input_tokens"] == pytest.approx(changed["total"]["input_tokens"], rel=0.05)


def test_the_command_prints_the_table_and_refuses_what_was_not_recorded(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text has both sides, causes and assumptions; a name that was not recorded is answered with those that were."""
    assert main(["whatif", NODEID, "--drop-tool", "calendar_write", "--cache"]) == 0
    text = capsys.readouterr().out
    assert "2,200 →" in text
    assert "improved" in text
    assert "the model called calendar_write 2 times" in text
    for args, said in (
        ((NODEID, "--drop-tool", "calender_write"), "calendar_write"),
        ((NODEID, "--drop-stage", "finalize"), "worker/finalize"),
        ((NODEID, "--drop-stage", "worker"), "nothing is left of the run"),
        ((NODEID, "--shrink", "calendar_write=half"), "=50%"),
        ((NODEID, "--shrink", "calendar_write=nan"), "=50%"),
        ((NODEID,), "--drop-tool"),
        (("test_agent.py::test_other", "--cache"), "test_agent.test_agent.jsonl"),
        (("missing.jsonl", "--cache"), "there is no cassette"),
    ):
        assert main(["whatif", *args]) == 2
        shown = capsys.readouterr().err
        assert "fix: " in shown
        assert said in shown


def test_stages_and_prices_are_those_of_the_project(agent: Agent, whatif: Any) -> None:
    """What the ini file and the conftest say of a replay holds here too."""
    agent.pytester.makeini("[pytest]\ntokenbudget_stages =\n    outside = url:*/v1/*\n")
    agent.pytester.makeconftest("def pytest_tokenbudget_price(provider, model, usage):\n    return 0.25\n")
    replayed = agent.run(mail=False)
    asked = whatif(NODEID, "--drop-tool", "mail_send")
    assert asked["total"]["cost"] == replayed["total"]["cost"] == 1.0
    (name,) = Path("__budgets__", "cassettes").glob("*.jsonl")
    text = name.read_text(encoding="utf-8").replace('"stage":"worker/finalize"', '"stage":""')
    name.write_text(text, encoding="utf-8")
    asked = whatif(str(name), "--drop-stage", "outside")
    assert (asked["before"]["stages"]["outside"]["calls"], asked["total"]["calls"]) == (1, 3)


def _loop(calls: int = 10) -> list[Interaction]:
    """A loop with a growing history, each call as long as its input says."""
    found, now = [], 0.0
    tools = [{"name": name, "input_schema": {"type": "object"}, "description": "Long. " * 700} for name in ("a", "b")]
    messages = [{"role": "user", "content": "Begin."}]
    for number in range(calls):
        tokens = 3000 + 600 * number
        said = {"role": "assistant", "content": "word " * 600}
        usage = {"input_tokens": tokens, "output_tokens": 600, "cache_read_input_tokens": 0}
        answer = {"type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn"}
        answer |= {"content": [{"type": "text", "text": said["content"]}], "usage": usage}
        duration = 0.5 + 0.001 * tokens
        found.append(
            Interaction(
                api="anthropic.messages",
                provider="anthropic",
                stage="worker",
                url="https://api.anthropic.com/v1/messages",
                model="claude-sonnet-4-5",
                body={"model": "claude-sonnet-4-5", "max_tokens": 900, "tools": tools, "messages": [*messages]},
                started=now,
                duration=duration,
                headers=(("content-type", "application/json"),),
                chunks=(json.dumps(answer).encode(),),
                times=(duration,),
                input_tokens=tokens,
                output_tokens=600,
            )
        )
        now += duration + 0.25
        messages += [said, {"role": "user", "content": "Go on."}]
    return found


def test_times_follow_the_slope_and_the_calls_behind_begin_earlier(tmp_path: Path, whatif: Any) -> None:
    """A millisecond a token, as the recording tells; the agent's own quarter of a second between calls stays."""
    save(tmp_path / "loop.jsonl", _loop(), ())
    asked = whatif(str(tmp_path / "loop.jsonl"), "--drop-tool", "b")
    saved = asked["before"]["total"]["input_tokens"] - asked["total"]["input_tokens"]
    assert saved > 1000
    assert asked["before"]["total"]["latency"] - asked["total"]["latency"] == pytest.approx(0.001 * saved, rel=1e-3)
    assert asked["total"]["own_time"] == pytest.approx(0.25 * 9, abs=1e-3)


def test_stable_prefixes_are_priced_as_cached(tmp_path: Path, whatif: Any) -> None:
    """Each call reads what the one before was asked; input stays the same and cost falls, though writing has its price."""
    save(tmp_path / "loop.jsonl", _loop(), ())
    asked = whatif(str(tmp_path / "loop.jsonl"), "--cache")
    before, after = asked["before"]["total"], asked["total"]
    assert after["input_tokens"] == before["input_tokens"]
    assert after["cached_input_tokens"] == pytest.approx(sum(3000 + 600 * number for number in range(9)), rel=0.02)
    assert after["cache_write_tokens"] > 0
    assert after["cost"] < before["cost"]


def test_tools_are_found_in_every_form() -> None:
    """One tool is left out of each API's list, and a list that is empty then goes, with the choice that needs it."""
    schema = {"type": "object"}
    chat = {"type": "function", "function": {"name": "mail", "parameters": schema}}
    named = {"name": "mail", "description": "Sends."}
    other = {"name": "other"}
    forms: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (
            {"tools": [chat, other], "tool_choice": {"type": "function", "function": {"name": "mail"}}},
            {"tools": [other]},
        ),
        ({"functions": [named], "function_call": "auto"}, {}),
        ({"tools": [{"type": "function", **named}, {"type": "web_search"}]}, {"tools": [{"type": "web_search"}]}),
        ({"tools": [named], "tool_choice": {"type": "any"}}, {}),
        ({"tools": [{"functionDeclarations": [named, other]}]}, {"tools": [{"functionDeclarations": [other]}]}),
        ({"tools": [{"function_declarations": [named]}, {"googleSearch": {}}]}, {"tools": [{"googleSearch": {}}]}),
        ({"toolConfig": {"tools": [{"toolSpec": named}], "toolChoice": {"auto": {}}}}, {}),
        ({"parameters": {"tools": [chat], "seed": 1}}, {"parameters": {"seed": 1}}),
    ]
    for body, expected in forms:
        assert "mail" in tools_of(body)
        assert change_tools(body, lambda name, found: None if name == "mail" else found) == expected
