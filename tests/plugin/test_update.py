"""What an update writes, what it says, and what a reviewer sees of it."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

import pytest
from ledger_server import Reply, ToolCall

AGENT = """
def tool(name, text):
    return {{"type": "function", "function": {{"name": name, "description": text, "parameters": {{"type": "object"}}}}}}

TOOLS = [tool("search_orders", {text!r}), tool("refund", "Gives the money back.")]
NEXT = iter(range(10**6))

@token_budget({{"input_tokens": "10%"}}, replay={replay})
def test_agent(ask):
    ask("which desk?", stage_name="router", model="gpt-4o-mini")
    with stage("worker"):
        for _ in range(3):
            ask("where is my lamp?", tools=TOOLS, model="gpt-4o-mini")
        ask("put it into JSON", stage_name="finalize", model="gpt-4o-mini")
"""
STAGES = ("router", "worker", "worker/finalize")


def _agent(text: str, *, replay: bool | None = None) -> str:
    return AGENT.format(text=text, replay=replay)


def _changed_lines(before: str, after: str) -> list[str]:
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in diff if line.startswith("+") and not line.startswith("+++")]


@pytest.mark.parametrize("replay", [None, True], ids=["live", "replayed"])
def test_no_number_of_an_earlier_state_stays(project: Any, replay: bool | None) -> None:
    """Two accepted changes: each metric holds what was measured last, gated or not, and nothing else."""
    project.write(_agent("Finds orders.", replay=replay))
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    for words in (20, 30):
        project.write(_agent("Finds orders. " * words, replay=replay))
        project.run("--tokenbudget-update").assert_outcomes(passed=1)
        measured = project.test
        for scope, figures in {"": measured["total"], **measured["stages"]}.items():
            for name in ("input_tokens", "cost", "tool_schema_tokens", "total_tokens", "fresh_input_tokens", "calls"):
                stored = project.stored(f"{scope}.{name}" if scope else name)
                assert set(stored.values) == {figures[name]}, (scope, name)
    project.write(_agent("Finds orders. " * words, replay=replay).replace('"input_tokens"', '"cost"'))
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    assert project.gate("cost")["change"] == 0


def test_an_update_says_what_it_accepted(project: Any) -> None:
    """The tokens, and the tool that they come from; of an unchanged run nothing. The tests are called accepted, not regressions."""
    project.write(_agent("Finds orders.", replay=True))
    project.run().assert_outcomes(passed=1)
    project.write(_agent("Finds orders. " * 20, replay=True))
    result = project.run("--tokenbudget-update")
    result.stdout.fnmatch_lines(["test_agent.py::test_agent  input * → * +*%, search_orders", "1 test accepted · *"])
    result.stdout.no_fnmatch_line("*regression*")
    result.stdout.no_fnmatch_line("*OVER*")
    project.run("--tokenbudget-update").stdout.no_fnmatch_line("*accepted ·*")


def test_a_grown_schema_changes_three_lines_a_stage_at_most(project: Any) -> None:
    """The tool's, the tokens' and the money's. Of the whole test one says where it began, and one what no cache can serve."""
    project.write(_agent("Finds orders.", replay=True))
    project.run().assert_outcomes(passed=1)
    before = project.baseline
    assert len(before.splitlines()) <= 40
    project.write(_agent("Finds orders by the name of a customer.", replay=True))
    project.run("--tokenbudget-update").assert_outcomes(passed=1)
    changed = [re.sub(r"\W+", " ", line).split() for line in _changed_lines(before, project.baseline)]
    of_a_stage = [words[:3] for words in changed if words[0] not in ("origin", "own_time", "fresh_input_tokens")]
    assert [words[0] for words in of_a_stage] == ["worker", "cost", "input_tokens"]
    assert of_a_stage[0] == ["worker", "tools", "search_orders"]
    assert len(changed) <= 6


def test_a_live_update_of_an_unchanged_agent_changes_times_alone(project: Any) -> None:
    """Every changed line is a time's, with three digits a number."""
    call = ToolCall("search_orders", {"name": "Ana"})
    project.server.play(lambda _: Reply("ok", tool_calls=(call,), input_tokens=321, output_tokens=12))
    project.write(_agent("Finds orders."))
    project.run("--tokenbudget-samples=1").assert_outcomes(passed=1)
    before = project.baseline
    project.run("--tokenbudget-update", "--tokenbudget-samples=1").assert_outcomes(passed=1)
    then, now = (json.loads(text)["tests"]["test_agent"] for text in (before, project.baseline))
    rows = {name for part in ("metrics", "pooled") for name in now[part] if then[part].get(name) != now[part][name]}
    assert rows
    assert rows <= {"latency", "measured_latency", "model_time", "own_time", "call_latency", "ttft"}
    for part in ("metrics", "pooled", "speed"):
        then.pop(part, None)
        now.pop(part, None)
    assert now == then
    for number in re.findall(r"\d+\.\d+(?:e-\d+)?", "".join(_changed_lines(before, project.baseline))):
        assert len(number.partition("e")[0].replace(".", "").lstrip("0")) <= 4, number


def test_an_old_name_of_a_metric_is_understood(project: Any) -> None:
    """``attempts`` was renamed; the marker's reader is told so, and the gate works."""
    project.write('@token_budget({"attempts": "0"})\ndef test_agent(ask):\n    ask()\n')
    result = project.run("-W", "default::DeprecationWarning")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*the metric 'attempts' is called 'failed_attempts' now*"])
    assert project.gate("failed_attempts")["rule"] == "+0%"
