"""``stop_at``: the call that passes a ceiling is the last one that leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_every_later_call_is_refused_also_where_the_agent_swallows_it(project: Any) -> None:
    """The refusal is raised into the agent; whatever it makes of it, the test fails and nothing is stored."""
    project.write("""
@token_budget("10%", stop_at={"calls": 2})
def test_agent(ask):
    for _ in range(10):
        try:
            ask()
        except Exception:
            pass
""")
    result = project.run("--tokenbudget-update")
    result.assert_outcomes(failed=1)
    assert len(project.server.ledger) == 3
    assert project.test["verdict"] == "over_limit"
    result.stdout.fnmatch_lines(["*stopped: calls is 3, stop_at allows 2; 7 later calls were refused*"])
    assert not (project.pytester.path / "__budgets__").exists()


def test_what_the_test_itself_expects_does_not_save_it(project: Any) -> None:
    """Also a test that expects BudgetExceeded, or fails on it, fails with the table alone."""
    project.write("""
from pytest_tokenbudget import BudgetExceeded

@token_budget("off", stop_at={"calls": 0})
def test_expects(ask):
    ask()
    with pytest.raises(BudgetExceeded, match="stop_at"):
        ask()

@token_budget("off", stop_at={"calls": 0})
def test_raises(ask):
    ask(); ask()

@token_budget("off", stop_at={"calls": 0})
def test_wraps(ask):
    ask()
    try:
        ask()
    except BudgetExceeded as refusal:
        raise ConnectionError from refusal

@token_budget("off", stop_at={"calls": 0})
def test_asserts(ask):
    ask()
    assert 1 == 2, "the agent gave up"
""")
    result = project.run()
    result.assert_outcomes(failed=4)
    assert [test["verdict"] for test in project.report["tests"]] == ["over_limit"] * 4
    result.stdout.no_fnmatch_line("*was not sent*")
    result.stdout.fnmatch_lines(["*the agent gave up*", "*calls *limit *OVER LIMIT"])


@pytest.mark.parametrize(
    ("ceiling", "left"),
    [
        ('{"input_tokens": 1}', 1),
        ('{"cost": "$0.00001"}', 1),
        ('{"worker.calls": 1}', 2),
        ('{"*.calls": 1}', 2),
        ('{"system_tokens": 1}', 1),
    ],
)
def test_any_metric_can_be_a_ceiling(project: Any, ceiling: str, left: int) -> None:
    """Tokens, money and parts of the prompt, of the test, of a stage or of each stage."""
    project.write(f"""
@token_budget("off", stop_at={ceiling})
def test_agent(ask):
    for _ in range(4):
        with stage("worker"):
            ask(messages=[{{"role": "system", "content": "be kind " * 50}}, {{"role": "user", "content": "hello"}}])
""")
    project.run().assert_outcomes(failed=1)
    assert len(project.server.ledger) == left
    assert project.test["verdict"] == "over_limit"


@pytest.mark.parametrize("metric", ["latency", "worker.latency", "worker.model_time", "worker.call_latency.max"])
def test_a_time_can_be_a_ceiling(project: Any, metric: str) -> None:
    """No call leaves once it has been passed; where the machine is slow that may be before the first."""
    from ledger_server import Reply

    project.server.play(lambda asked: Reply("fine", delay=0.05))
    project.write(f"""
@token_budget("off", stop_at={{{metric!r}: "40ms"}})
def test_agent(ask):
    for _ in range(4):
        with stage("worker"):
            ask()
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert len(project.server.ledger) <= 1
    result.stdout.fnmatch_lines([f"*stopped: {metric} is 0.*, stop_at allows 0.04; * refused*"])


def test_a_fan_out_does_not_leave_at_once(project: Any) -> None:
    """Calls that are under way count: of ten at the same time no more leave than one after another would."""
    from ledger_server import Reply

    project.server.play(lambda asked: Reply("fine", delay=0.05))
    project.write(f"""
import asyncio
try:
    import httpx
except ImportError:
    import httpx2 as httpx

@token_budget("off", stop_at={{"calls": 2}})
def test_agent():
    async def agent():
        async with httpx.AsyncClient() as client:
            url, body = {project.server.url!r} + "/v1/chat/completions", {{"model": "m", "messages": []}}
            return await asyncio.gather(*(client.post(url, json=body) for _ in range(10)), return_exceptions=True)
    asyncio.run(agent())
""")
    project.run().assert_outcomes(failed=1)
    assert len(project.server.ledger) == 3


def test_attempts_that_fail_are_no_calls(project: Any) -> None:
    """A retried call is one call, also for the ceiling."""
    from ledger_server import Reply

    project.server.play([Reply(status=429), Reply(status=503), Reply("fine"), Reply("fine")])
    project.write("""
@token_budget("off", stop_at={"calls": 2})
def test_agent(ask):
    for _ in range(4): ask()
""")
    project.run().assert_outcomes(passed=1)
    assert len(project.server.ledger) == 4


def test_what_is_no_model_call_is_never_refused(project: Any) -> None:
    """The agent's own tools go on working."""
    project.write(f"""
try:
    import httpx
except ImportError:
    import httpx2 as httpx

@token_budget("off", stop_at={{"calls": 0}})
def test_agent(ask):
    ask()
    assert httpx.get({project.server.url!r} + "/weather").status_code == 404
""")
    project.run().assert_outcomes(failed=1)
    assert len(project.server.ledger) == 1


def test_in_report_mode_nothing_is_refused(project: Any) -> None:
    """The ceiling is judged like a limit, and the test goes on as if it were not there."""
    project.write("""
@token_budget("10%", stop_at={"calls": 1})
def test_agent(ask):
    ask(); ask(); ask()
""")
    project.run("--tokenbudget=report").assert_outcomes(passed=1)
    assert len(project.server.ledger) == 3
    assert project.test["verdict"] == "over_limit"
    assert [gate["verdict"] for gate in project.test["gates"] if gate["kind"] == "limit"] == ["over_limit"]


def test_a_unittest_case_is_stopped_like_any_test(project: Any) -> None:
    """The refusal that unittest keeps to itself is not shown in the place of the table."""
    project.write(f"""
import unittest
try:
    import httpx
except ImportError:
    import httpx2 as httpx

class TestAgent(unittest.TestCase):
    @token_budget("off", stop_at={{"calls": 0}})
    def test_agent(self):
        for _ in range(2):
            httpx.post({project.server.url!r} + "/v1/chat/completions", json={{"model": "m", "messages": []}})
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*calls *limit *OVER LIMIT"])
    result.stdout.no_fnmatch_line("*was not sent*")
    assert len(project.server.ledger) == 1


def test_each_sample_has_its_own_ceiling(project: Any) -> None:
    """What one sample spent is not charged to the next; the sample that passes it ends the test."""
    project.write("""
RUNS = []

@token_budget("off", stop_at={"calls": 1}, samples=4)
def test_agent(ask):
    RUNS.append(1)
    for _ in RUNS:
        ask()
""")
    project.run().assert_outcomes(failed=1)
    assert len(project.server.ledger) == 1 + 2
    assert json.dumps(project.test["samples_detail"]).count('"started"') == 3


def test_what_is_no_call_counts_for_no_ceiling(project: Any) -> None:
    """Moderation, ranking, model lists, token counts and polls of a response in background mode leave as they like."""
    pytest.importorskip("httpx", reason="the traffic is made with httpx")
    project.write("""
import httpx

DONE = {"object": "response", "id": "resp_1", "status": "completed", "model": "gpt-4o", "output": [],
        "usage": {"input_tokens": 5, "output_tokens": 6}}

def answer(request):
    pending = {**DONE, "status": "queued", "usage": None}
    return httpx.Response(200, json=pending if request.url.path == "/v1/responses" else DONE)

@token_budget("off", stop_at={"calls": 1})
def test_agent():
    with httpx.Client(transport=httpx.MockTransport(answer), base_url="https://api.openai.com") as client:
        client.get("/v1/models")
        for _ in range(3):
            client.post("/v1/moderations", json={"model": "m", "input": "Hi"})
            client.post("/v2/rerank", json={"model": "m", "query": "Hi", "documents": []})
            client.post("/v1/responses/input_tokens", json={"model": "m", "input": "Hi"})
        client.post("/v1/responses", json={"model": "gpt-4o", "input": "Hi", "background": True})
        for _ in range(3):
            client.get("/v1/responses/resp_1")
""")
    project.run().assert_outcomes(passed=1)
    (call,) = project.test["calls"]
    assert (call["api"], call["output_tokens"]) == ("openai.responses", 6)


def test_a_recorded_call_passes_a_ceiling_too(project: Any) -> None:
    """A model that is called in the process is seen through budget.record: the run ends where the ceiling is passed."""
    project.write("""
DONE = []

@token_budget("off", stop_at={"input_tokens": 250, "worker.calls": 9})
def test_agent(budget):
    for n in range(100):
        DONE.append(n)
        try:
            budget.record("local", input_tokens=100, output_tokens=5, stage="worker")
        except KeyError:
            pass

def test_done():
    assert DONE == [0, 1, 2]
""")
    result = project.run()
    result.assert_outcomes(failed=1, passed=1)
    assert project.test["verdict"] == "over_limit"
    assert project.test["total"]["input_tokens"] == 300
    result.stdout.fnmatch_lines(["*stopped: input_tokens is 300, stop_at allows 250; 0 later calls were refused*"])


def test_a_metric_of_the_project_can_be_a_ceiling(project: Any) -> None:
    """It is measured anew after each call."""
    conftest = (project.pytester.path / "conftest.py").read_text()
    project.pytester.makeconftest(
        conftest
        + """
from pytest_tokenbudget.ext import MetricSpec

def pytest_tokenbudget_metrics():
    return [MetricSpec("searches", "count", "Searches.", lambda view: 7 * len(view.calls))]
"""
    )
    project.write("""
@token_budget("off", stop_at={"worker.searches": 13})
def test_agent(ask):
    for _ in range(9):
        ask(stage_name="worker")
""")
    project.run().assert_outcomes(failed=1)
    assert len(project.server.ledger) == 2


@pytest.mark.parametrize(("stop_at", "fixture"), [({"calls": 9}, ""), ({}, ", budget")], ids=["ceiling", "figures"])
def test_nothing_is_imported_while_a_sample_is_read(project: Any, stop_at: dict[str, int], fixture: str) -> None:
    """A call that is read before the body has ended finds its API imported: else the import would count as the agent's time."""
    project.write(f"""
import sys

def loaded():
    return {{name for name in sys.modules if name.startswith(("pytest_tokenbudget.providers", "pytest_tokenbudget.tokens"))}}

@token_budget("off", stop_at={stop_at})
def test_agent(ask{fixture}):
    before = loaded()
    body = {{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{{"role": "user", "content": "hi"}}]}}
    ask.client.post("/v1/messages", json=body).raise_for_status()
    assert {not fixture} or budget.total("input_tokens") > 0
    assert loaded() - before == set()
""")
    conftest = project.pytester.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace("        yield ask", "        ask.client = client\n        yield ask")
    )
    project.run(subprocess=True).assert_outcomes(passed=1)
