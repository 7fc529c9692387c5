"""``tokenbudget advise``: on reports, on tests by their recordings, and on all that is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledger_server import LedgerServer, Reply, ToolCall
from own_process import only_this_plugin

from pytest_tokenbudget.cli.main import main

pytest.importorskip("httpx", reason="httpx is not installed")

AGENT = """
import httpx
from pytest_tokenbudget import stage, token_budget

def tool(name, words):
    schema = {{"type": "object", "properties": {{"day": {{"type": "string"}}, "title": {{"type": "string"}}}}}}
    return {{"type": "function", "function": {{"name": name, "description": "one word " * words, "parameters": schema}}}}

TOOLS = [tool("calendar_write", 4), tool("mail_send", 120)]

def ask(messages, **more):
    body = {{"model": "gpt-4o", "messages": messages, **more}}
    message = httpx.post({url!r} + "/v1/chat/completions", json=body).json()["choices"][0]["message"]
    messages.append(message)
    return message

@token_budget("10%", replay={replay!r})
def test_agent():
    messages = [{{"role": "system", "content": "You keep a calendar."}}, {{"role": "user", "content": "Move my lunch."}}]
    with stage("worker"):
        while calls := ask(messages, tools=TOOLS).get("tool_calls"):
            messages += [{{"role": "tool", "tool_call_id": call["id"], "content": "done"}} for call in calls]
        with stage("finalize"):
            ask([{{"role": "user", "content": "Say it as JSON."}}])
"""
NODEID = "test_agent.py::test_agent"


@pytest.fixture
def recorded(pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Records the agent under the name that its marker gives; gives the run's output."""

    def record(*args: str, replay: object = True, ini: str = "") -> pytest.RunResult:
        call = ToolCall("calendar_write", {"title": "lunch"})
        sizes = (611, 702, 790)
        replies = [Reply(tool_calls=(call,), input_tokens=size) for size in sizes[:2]]
        llm_server.play([*replies, Reply("Moved.", input_tokens=sizes[2]), Reply("{}", input_tokens=97)])
        pytester.makepyfile(test_agent=AGENT.format(url=llm_server.url, replay=replay))
        pytester.makeini("[pytest]\n" + ini)
        result = pytester.runpytest_inprocess("--tokenbudget-report=report.json", *args)
        result.assert_outcomes(passed=1)
        return result

    monkeypatch.setattr("sys.dont_write_bytecode", True)
    only_this_plugin(monkeypatch, "no:cacheprovider")
    return record


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; gives what it prints."""

    def run(*args: str) -> str:
        capsys.readouterr()
        assert main(list(args)) == 0
        return capsys.readouterr().out

    return run


def _unused(printed: str) -> dict[str, Any]:
    (found,) = [one for one in json.loads(printed)["advice"] if one["kind"] == "unused_tool"]
    return dict(found)


@pytest.mark.parametrize("replay", [True, "desk"])
def test_the_saving_is_what_whatif_says(recorded: Any, command: Any, replay: object) -> None:
    """Whatever the command reads, a recording decides: tokens and money are those of the run with the cut made."""
    recorded(replay=replay)
    (asked,) = json.loads(command("whatif", NODEID, "--drop-tool", "mail_send", "--json"))["tests"]
    saved = {name: asked["before"]["total"][name] - asked["total"][name] for name in ("input_tokens", "cost")}
    for named in (["report.json"], [NODEID], ["baselines"], []):
        found = _unused(command("advise", *named, "--json"))
        assert (found["stage"], found["name"], found["tests"]) == ("worker", "mail_send", [NODEID])
        assert found["sure"] == "exact"
        # A report does not say which cassette a marker names.
        if replay is True or named != ["report.json"]:
            assert found["recounted"] is True
            assert (found["tokens"], found["cost"]) == (saved["input_tokens"], pytest.approx(saved["cost"]))
        else:
            assert found["recounted"] is False
            assert found["tokens"] == pytest.approx(saved["input_tokens"], rel=0.02)


def test_a_baseline_alone_names_the_waste(recorded: Any, command: Any) -> None:
    """Without a recording the stored composition tells it, as a sum of measured parts; the order of calls is not known."""
    recorded()
    for path in Path("__budgets__", "cassettes").iterdir():
        path.unlink()
    printed = command("advise", "--json")
    found = _unused(printed)
    assert found["recounted"] is False
    asked = found["tokens"] / (611 + 702 + 790 + 97)
    assert 0.5 < asked < 0.8
    assert "extra_call" not in printed
    assert "recounted" not in command("advise")


def test_the_text_says_how_sure_each_saving_is(recorded: Any, command: Any) -> None:
    """Money of a month is shown where the project says how often it runs, and what was recounted is said."""
    recorded(ini="tokenbudget_runs_per_month = 120000\n")
    first = command("advise", NODEID).splitlines()
    line = next(one for one in first if "unused tool" in one)
    assert " a month) a run (" in line
    assert line.endswith("exact, recounted")
    assert any("tokenbudget whatif" in one for one in first)


def test_a_very_verbose_run_shows_what_could_be_saved(recorded: Any) -> None:
    """The section stands at ``-vv``, with the largest saving first, and not before."""
    shown = recorded("-vv").stdout.str()
    assert "what could be saved" in shown
    assert shown.index("what could be saved") < shown.index("worker unused tool: up to") < shown.index("mail_send (")
    assert "what could be saved" not in recorded("-v").stdout.str()


def test_a_name_of_nothing_is_an_error(recorded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the message names what was asked for."""
    recorded()
    for name in ("nothing_of_this_name", "other.json", "test_agent.py::test_other"):
        assert main(["advise", name]) == 2
        assert name.rpartition("::")[2] in capsys.readouterr().err


def test_a_report_of_any_shape_gives_no_traceback(
    recorded: Any, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an older version did not write is not known; what is no number is an error that names the file."""
    recorded()
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    whole = _unused(command("advise", "report.json", "--json"))
    changes: list[dict[str, Any]] = [
        {"parts": {"worker": [{"part": "tools"}]}},
        {"schemas": {"a": {"tokens": 1, "more": 2}}},
        {"cache_breaks": {"worker": {}, "finalize": 3}},
        {"calls": [{**report["tests"][0]["calls"][0], "offered_tools": "many"}]},
        {"parts": 5},
    ]
    for change in changes:
        changed = {**report, "tests": [{**report["tests"][0], **change}]}
        Path("changed.json").write_text(json.dumps(changed), encoding="utf-8")
        assert main(["advise", "changed.json"]) in (0, 2)
    old = {key: value for key, value in report["tests"][0].items() if key not in ("parts", "schemas", "cache_breaks")}
    Path("old.json").write_text(json.dumps({**report, "tests": [old]}), encoding="utf-8")
    assert main(["advise", "old.json"]) == 0
    assert "changed.json" in capsys.readouterr().err
    assert whole["name"] == "mail_send"
